"""`python -m benchmarks.run`: measures, prints tables, and brings docs/performance.md up to date."""

import argparse
import json
import signal
import sys
import time
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable

from . import chart, connector, document, tables, tap
from .compare import compare
from .machine import described, machine
from .memory import LARGEST_MEGABYTES, measure_memory
from .paths import BUILD, RESULTS
from .second_read import measure_second_read
from .server import Sizes

_NARROWEST = 118  # the widest table; a pipe or a small window would have its cells cut
_CONSOLE = Console(highlight=False, width=max(Console().width, _NARROWEST))


def main() -> None:
    """Run the parts that were asked for; exits with 1 when the connector misses records or a limit."""
    given = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("make bench: ended"))  # so that what it started ends as well
    BUILD.mkdir(parents=True, exist_ok=True)
    facts = machine()
    # What an earlier run left stays until its part is measured again.
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    _say(described(facts))
    benchmark = _Benchmark(given, results, facts)
    alone = given.incremental or given.memory
    if given.all or not alone:
        benchmark.compare()
    if given.all or given.incremental:
        benchmark.second_read()
    if given.all or given.memory:
        benchmark.memory()
    RESULTS.write_text(json.dumps(results, indent=1))
    _say(f"Wrote build/bench/{RESULTS.name}" + ("" if given.no_docs else ", docs/performance.md"))
    sys.exit(benchmark.problems != [] and f"make bench: {'; '.join(benchmark.problems)}")


class _Benchmark:
    """The parts; each leaves its figures in `results` and prints them."""

    def __init__(self, given: argparse.Namespace, results: dict[str, Any], facts: dict[str, Any]) -> None:
        """Take the arguments and what to fill."""
        self._given = given
        self._results = results
        self._described = f"{described(facts)}."
        self._about = {"machine": facts, "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        self._sizes = Sizes(given.activities, given.leads, given.tasks, given.events)
        self.problems: list[str] = []

    def compare(self) -> None:
        """Both programs at each latency."""
        figures = compare(self._sizes, self._given.latency or [0.0, 0.1], _say)
        versions = {tap.NAME: tap.versions(), connector.NAME: connector.versions()}
        self._results["comparison"] = {**self._about, "versions": versions, **asdict(figures)}
        known = versions[tap.NAME] | versions[connector.NAME]
        names = ", ".join(f"{name} {known[name]}" for name in (tap.NAME, connector.NAME, "airbyte-cdk"))
        made = [tables.overview(figures), tables.completeness(figures), tables.server_load(figures)]
        self._publish("comparison", f"{names}; {self._described}", made)
        if not self._given.no_docs:
            chart.draw(figures)
        for run in figures.runs:
            if run.program == connector.NAME and (run.missing or run.exit_code):
                self.problems.append(f"the connector missed {run.missing} records, exit code {run.exit_code}")

    def second_read(self) -> None:
        """The incremental read."""
        figures = measure_second_read(self._sizes, _say)
        self._results["second_read"] = {**self._about, **asdict(figures)}
        self._publish("incremental", self._described, [tables.second_read(figures)])

    def memory(self) -> None:
        """The large account."""
        figures = measure_memory(_say)
        self._results["memory"] = {**self._about, **asdict(figures)}
        self._publish("memory", self._described, [tables.memory(figures)])
        if figures.peak_megabytes >= LARGEST_MEGABYTES or figures.missing or figures.exit_code:
            self.problems.append(
                f"the large read took {figures.peak_megabytes:.0f} MB and missed {figures.missing} records"
            )

    def _publish(self, part: str, intro: str, made: list[tables.Table]) -> None:
        for table in made:
            _print(table)
        if not self._given.no_docs:
            document.rewrite(part, intro, made)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.run", description=__doc__)
    for name, default in vars(Sizes()).items():
        if name not in {"users", "custom_fields"}:
            parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--latency", type=float, action="append", help="seconds a request, may be repeated: 0 and 0.1")
    parser.add_argument("--incremental", action="store_true", help="only: a second read with nothing new")
    parser.add_argument("--memory", action="store_true", help="only: peak memory on 400 MB of activities")
    parser.add_argument("--all", action="store_true", help="all parts")
    parser.add_argument("--no-docs", action="store_true", help="leave docs/ as it is")
    return parser.parse_args()


def _say(text: str) -> None:
    _CONSOLE.print(f"[bold]==[/bold] {text}", markup=True)


def _print(table: tables.Table) -> None:
    shown = RichTable(title=table.title, title_justify="left")
    for number, head in enumerate(table.head):
        shown.add_column(head, justify="right" if number else "left")
    for row in table.rows:
        shown.add_row(*row)
    _CONSOLE.print(shown)


if __name__ == "__main__":
    main()

"""Run the benchmark, print its tables and update docs/performance.md: `python -m benchmarks.run`."""

import argparse
import signal
import sys
from importlib.metadata import version

from rich.console import Console
from rich.table import Table as RichTable

from . import chart, connector, document, tables, tap
from .compare import compare
from .machine import described_machine
from .memory import LARGEST_MEGABYTES, measure_memory
from .paths import BUILD
from .second_read import measure_second_read
from .server import Sizes
from .side_by_side import measure_side_by_side

_NARROWEST = 118  # the width of the widest table; a pipe or a small window would truncate its cells
_CONSOLE = Console(highlight=False, width=max(Console().width, _NARROWEST))


def main() -> None:
    """Run the selected parts; exit with 1 if the connector misses records or exceeds a limit."""
    given = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("make bench: terminated"))  # also ends what it started
    BUILD.mkdir(parents=True, exist_ok=True)
    facts = described_machine()
    _say(facts)
    benchmark = _Benchmark(given, facts)
    alone = given.incremental or given.memory or given.side_by_side
    if given.all or not alone:
        benchmark.compare()
    if given.all or given.incremental:
        benchmark.second_read()
    if given.all or given.memory:
        benchmark.memory()
    if given.all or given.side_by_side:
        benchmark.side_by_side()
    if not given.no_docs:
        _say("Wrote docs/performance.md")
    sys.exit(benchmark.problems != [] and f"make bench: {'; '.join(benchmark.problems)}")


class _Benchmark:
    """The parts of the benchmark; each prints its figures."""

    def __init__(self, given: argparse.Namespace, facts: str) -> None:
        self._given = given
        self._described = f"{facts}."
        self._sizes = Sizes(given.activities, given.leads, given.tasks, given.events)
        self.problems: list[str] = []

    def compare(self) -> None:
        """Measure both programs at each latency."""
        figures = compare(self._sizes, self._given.latency or [0.0, 0.1], _say)
        names = ", ".join(f"{name} {version(name)}" for name in (connector.NAME, "airbyte-cdk"))
        built = [tables.overview(figures), tables.completeness(figures)]
        _print(tables.server_load(figures))
        self._publish("comparison", f"{tap.NAME} {tap.VERSION}, {names}; {self._described}", built)
        if not self._given.no_docs:
            chart.draw(figures)
        for run in figures.runs:
            if run.program == connector.NAME and (run.missing or run.exit_code):
                self.problems.append(f"the connector missed {run.missing} records and exited with code {run.exit_code}")

    def second_read(self) -> None:
        """Measure an incremental read."""
        figures = measure_second_read(self._sizes, _say)
        self._publish("incremental", self._described, [tables.second_read(figures)])

    def memory(self) -> None:
        """Measure a read of a large account."""
        figures = measure_memory(_say)
        self._publish("memory", self._described, [tables.memory(figures)])
        if figures.peak_megabytes >= LARGEST_MEGABYTES or figures.missing or figures.exit_code:
            self.problems.append(
                f"the read of a large account used {figures.peak_megabytes:.0f} MB, missed {figures.missing} records"
            )

    def side_by_side(self) -> None:
        """Measure four large streams with rate limits."""
        figures = measure_side_by_side(_say)
        self._publish("side by side", self._described, [tables.side_by_side(figures)])
        if figures.missing or figures.exit_code:
            self.problems.append(f"the read of four large streams missed {figures.missing} records")

    def _publish(self, part: str, intro: str, built: list[tables.Table]) -> None:
        for table in built:
            _print(table)
        if not self._given.no_docs:
            document.rewrite(part, intro, built)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.run", description=__doc__)
    for name, default in vars(Sizes()).items():
        if name not in {"users", "custom_fields"}:
            parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument(
        "--latency", type=float, action="append", help="seconds per request; may be repeated; default: 0 and 0.1"
    )
    parser.add_argument("--incremental", action="store_true", help="measure only a second read without new records")
    parser.add_argument("--memory", action="store_true", help="measure only the peak memory with 400 MB of activities")
    parser.add_argument("--side-by-side", action="store_true", help="measure only four large streams with rate limits")
    parser.add_argument("--all", action="store_true", help="measure all parts")
    parser.add_argument("--no-docs", action="store_true", help="do not update docs/")
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

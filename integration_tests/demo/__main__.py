"""`make demo`: run the installed connector from spec to a second read, on a local Close API or a real account."""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from integration_tests.close_api import LocalCloseApi, Settings, Volumes
from integration_tests.demo.changes import change_something
from integration_tests.demo.command import COMMAND, CommandOutput, DemoError, run

OUTPUT = Path("demo-output")
VOLUMES = Volumes(activities=6_000, leads=2_000, tasks=1_500, events=3_000, users=12, custom_fields=8)
LATENCY_SECONDS = 0.05
CHANGES = 10
_RECORDS_PER_UPDATE = 50
# The stream that sends a request, by the first segment of the path.
STREAM_OF_PATH = {
    "activity": "activities",
    "custom_field": "custom_fields",
    "event": "event_log",
    "data": "leads",
    "lead": "leads",
    "task": "tasks",
    "user": "users",
}


class Demo:
    """The steps of the demo on one account."""

    def __init__(self, console: Console, config: Path, api: LocalCloseApi | None) -> None:
        """Take the path of a config; without `api`, it is the config of a real account."""
        self._console = console
        self._config_path = str(config)
        self._api = api

    def play(self) -> None:
        """Run every step; raise DemoError at the first one that fails."""
        with self._step("spec", "list the options"):
            fields = run(["spec"], OUTPUT / "spec.jsonl").content["connectionSpecification"]["properties"]
        shown = [name for name, field in fields.items() if not field.get("airbyte_hidden")]
        self._say(f"options: {', '.join(shown)}")
        with self._step("check", "test the key and its access to each stream"):
            checked = run(["check", "--config", self._config_path], OUTPUT / "check.jsonl")
        if checked.content["status"] != "SUCCEEDED":
            raise DemoError(checked.content["message"])
        self._say(checked.content.get("message") or "every stream can be read")
        streams = self._discover()
        first = self._read("first read", 1, [])
        _write("state.json", list(first.states.values()))
        if self._api:
            self._change(self._api)
        second = self._read("second read, from the saved state", 2, ["--state", str(OUTPUT / "state.json")])
        _write("state-after-2.json", list(second.states.values()))
        deleted = ", ".join(f"{count} {stream}" for stream, count in second.deletions.items() if count)
        self._say(f"records with _ab_cdc_deleted_at: {deleted or 'none'}")
        self._console.print(table_of(streams, first, second))

    def _discover(self) -> list[str]:
        """Write the catalog of the reads; return the names of its streams."""
        with self._step("discover", "list the streams and their columns"):
            streams = run(["discover", "--config", self._config_path], OUTPUT / "discover.jsonl").content["streams"]
        _write("catalog.json", {"streams": [_configured(stream) for stream in streams]})
        columns = sum(len(stream["json_schema"]["properties"]) for stream in streams)
        self._say(f"{len(streams)} streams, {columns} columns")
        return [stream["name"] for stream in streams]

    def _change(self, api: LocalCloseApi) -> None:
        self._heading("change", "simulate what people do in Close between the reads")
        changed = change_something(api.store, CHANGES)
        self._say(", ".join(f"{number} {what}" for what, number in changed.items()))

    def _read(self, title: str, number: int, state: list[str]) -> CommandOutput:
        if self._api:
            self._api.clear_requests()
        words = ["read", "--config", self._config_path, "--catalog", str(OUTPUT / "catalog.json"), *state]
        self._heading("read", title)
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=self._console, transient=True) as progress:
            shown = progress.add_task("starting", total=None)

            def watch(output: CommandOutput, stream: str) -> None:
                if stream in output.ended:
                    self._say(f"{stream:<14}{output.records[stream]:>8,}")
                elif output.records[stream] % _RECORDS_PER_UPDATE:
                    return
                running = ", ".join(name for name in output.began if name not in output.ended) or "is finished"
                progress.update(shown, description=f"{output.records.total():,} records; reading {running}")

            output = run(words, OUTPUT / f"read-{number}.jsonl", watch)
        for warning in output.warnings:
            self._say(f"warning: {warning}")
        if self._api:
            parts = (entry.path.strip("/").split("/")[0] for entry in self._api.requests)
            output.requests = Counter(STREAM_OF_PATH.get(part, part) for part in parts)
        return output

    @contextmanager
    def _step(self, command: str, title: str) -> Iterator[None]:
        self._heading(command, title)
        with self._console.status("running"):
            yield

    def _heading(self, command: str, title: str) -> None:
        self._console.print(f"[bold]{command}[/bold]: {title}")

    def _say(self, text: str) -> None:
        self._console.print(f"  {text}", markup=False, highlight=False)


def table_of(streams: list[str], first: CommandOutput, second: CommandOutput) -> Table:
    """Return a table with the records, requests and seconds of each stream in the two reads."""
    table = Table("stream", caption="a + b: first + second read. Streams run in parallel; all: with the start-up.")
    for heading in ("records (1st)", "records (2nd)", "requests", "seconds"):
        table.add_column(heading, justify="right")
    both = (first, second)
    for stream in streams:
        records = [f"{read.records[stream]:,}" for read in both]
        requests = [str(read.requests[stream]) for read in both if read.requests is not None]
        seconds = [f"{read.seconds_of(stream):.1f}" for read in both]
        table.add_row(stream, *records, " + ".join(requests), " + ".join(seconds))
    table.add_section()
    requests = [str(read.requests.total()) for read in both if read.requests is not None]
    seconds = [f"{read.seconds:.1f}" for read in both]
    totals = [f"{read.records.total():,}" for read in both]
    table.add_row("all", *totals, " + ".join(requests), " + ".join(seconds))
    return table


def _configured(stream: dict[str, Any]) -> dict[str, Any]:
    return {"stream": stream, "sync_mode": "incremental", "destination_sync_mode": "append_dedup"}


def _write(name: str, content: Any) -> Path:
    path = OUTPUT / name
    path.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2))
    return path


def _play(console: Console, config: Path | None) -> None:
    if not COMMAND.exists():
        raise DemoError(f"{COMMAND} is missing. `make demo` installs it.")
    OUTPUT.mkdir(mode=0o700, exist_ok=True)
    if config is not None:
        if not config.is_file():
            raise DemoError(f'There is no file {config}. It should have your config, such as {{"api_key": "api_…"}}.')
        console.print(f"Real account of {config}: the demo changes nothing there. It writes the records to {OUTPUT}/.")
        Demo(console, config, None).play()
        return
    with console.status("generating data"):
        api = LocalCloseApi(VOLUMES, settings=Settings(latency=LATENCY_SECONDS))
    with api:
        console.print(f"Local Close API with generated data, {LATENCY_SECONDS * 1000:.0f} ms per response: {api.url}")
        local = _write("config.json", {"api_key": api.settings.api_key, "base_url": api.url})
        Demo(console, local, api).play()


def main() -> int:
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--config", type=Path, help="config of a real account, which is read twice and not changed")
    config = parser.parse_args().config
    console = Console(highlight=False, soft_wrap=True)
    try:
        _play(console, config)
    except DemoError as error:
        console.print("[bold red]Failed.[/bold red]")
        console.print(str(error), markup=False)
        console.print(f"The messages so far are in {OUTPUT}/.")
        return 1
    except KeyboardInterrupt:
        console.print("Stopped.")
        return 130
    console.print(
        "The second read has what changed between the reads, and each stream's lookback: see docs/streams.md."
    )
    console.print(f"All messages: {OUTPUT}/*.jsonl. The state that the second read started from: {OUTPUT}/state.json.")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Runs the installed command `source-close` for the demo, and collects its messages."""

import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

COMMAND = Path(sys.executable).with_name("source-close")
_LONGEST_STDERR = 2_000

Watcher = Callable[["CommandOutput", str], None]


class DemoError(Exception):
    """A step of the demo failed; the message is shown to the user."""


@dataclass
class CommandOutput:
    """The messages of one run of the command; counters, times and states are keyed by stream.

    `requests` is None if the requests were not counted.
    """

    records: Counter[str] = field(default_factory=Counter)
    deletions: Counter[str] = field(default_factory=Counter)
    began: dict[str, float] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)
    states: dict[str, Any] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    stream_errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    content: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    requests: Counter[str] | None = None

    def seconds_of(self, stream: str) -> float:
        """Return the seconds from the stream's start to its end; streams run in parallel."""
        return self.ended[stream] - self.began[stream]

    def take(self, message: dict[str, Any]) -> str:
        """Add one message; return the stream whose progress it reports, or an empty string."""
        match message:
            case {"record": {"stream": stream, "data": data}}:
                self.records[stream] += 1
                self.deletions[stream] += data.get("_ab_cdc_deleted_at") is not None
                return str(stream)
            case {"trace": {"stream_status": {"status": status, "stream_descriptor": {"name": stream}}} as trace}:
                if status == "STARTED":
                    self.began[stream] = trace["emitted_at"] / 1000
                elif status in {"COMPLETE", "INCOMPLETE"}:
                    self.ended[stream] = trace["emitted_at"] / 1000
                return str(stream)
            case {"trace": {"error": error}}:
                errors = self.stream_errors if error.get("stream_descriptor") else self.errors
                errors.append(error["message"])
            case {"state": {"stream": {"stream_descriptor": {"name": stream}}} as state}:
                self.states[stream] = state
            case {"log": {"level": "WARN", "message": text}}:
                self.warnings.append(text)
            case {"spec": content} | {"connectionStatus": content} | {"catalog": content}:
                self.content = content
        return ""


def run(words: list[str], messages: Path, watch: Watcher | None = None) -> CommandOutput:
    """Run `source-close` with `words`, write its messages to a file, and call `watch` with each stream that progresses.

    Raises DemoError, with the connector's own message, when the command fails.
    """
    output = CommandOutput()
    began = time.monotonic()
    with (
        messages.open("wb") as file,
        tempfile.TemporaryFile() as stderr,
        subprocess.Popen([str(COMMAND), *words], stdout=subprocess.PIPE, stderr=stderr) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            file.write(line)
            stream = output.take(orjson.loads(line))
            if stream and watch:
                watch(output, stream)
        status = process.wait()
        stderr.seek(0)
        rest = stderr.read().decode(errors="replace")[-_LONGEST_STDERR:].strip()
    output.seconds = time.monotonic() - began
    if status or output.errors or output.stream_errors:
        # Prefer the errors of streams: the final error of a read only repeats them.
        texts = output.stream_errors or output.errors or [rest or f"It exited with code {status} and no message."]
        raise DemoError("\n".join(dict.fromkeys(texts)))
    return output

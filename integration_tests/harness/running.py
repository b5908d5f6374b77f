"""Runs the installed command `source-close` as its users do, and parses what it prints."""

import json
import os
import subprocess
import sysconfig
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson
from airbyte_cdk.sources.declarative.parsers.manifest_reference_resolver import ManifestReferenceResolver

from source_close.source import load_manifest

PROJECT = Path(__file__).resolve().parents[2]
KEY = "api_local"
COMMAND = Path(sysconfig.get_path("scripts")) / "source-close"
# The streams of the manifest by name. STREAMS are those with a cursor, and so with windows and a lookback.
DEFINED: dict[str, dict[str, Any]] = {
    stream["$parameters"]["name"]: stream
    for stream in ManifestReferenceResolver().preprocess_manifest(load_manifest())["streams"]
}
STREAMS = tuple(name for name, stream in DEFINED.items() if "incremental_sync" in stream)
Message = dict[str, Any]


@dataclass
class Result:
    """The exit code and the output of one run of the command."""

    exit_code: int
    output: str = field(repr=False)

    @cached_property
    def messages(self) -> list[Message]:
        return parse_messages(self.output)

    def of(self, kind: str) -> list[Any]:
        """Return the bodies of the messages of a type such as `RECORD`, in order."""
        return [message[_BODY.get(kind, kind.lower())] for message in self.messages if message["type"] == kind]

    def records(self, stream: str) -> list[dict[str, Any]]:
        return [record["data"] for record in self.of("RECORD") if record["stream"] == stream]

    def ids(self, stream: str) -> list[str]:
        return [record["id"] for record in self.records(stream)]

    def repeated(self, stream: str) -> list[str]:
        """Return the ids that were emitted more than once."""
        return [record_id for record_id, count in Counter(self.ids(stream)).items() if count > 1]

    @property
    def states(self) -> list[dict[str, Any]]:
        """Return the last state of each stream, in the form of a state file."""
        last = {state["stream"]["stream_descriptor"]["name"]: state for state in self.of("STATE")}
        return [{"type": "STREAM", "stream": state["stream"]} for state in last.values()]

    def state(self, stream: str) -> dict[str, Any]:
        """Return the last state of a stream."""
        found = [state["stream"] for state in self.states if state["stream"]["stream_descriptor"]["name"] == stream]
        state: dict[str, Any] = found[0]["stream_state"]
        return state

    @property
    def logs(self) -> list[str]:
        return [log["message"] for log in self.of("LOG")]

    @property
    def errors(self) -> list[dict[str, Any]]:
        return [trace["error"] for trace in self.of("TRACE") if trace["type"] == "ERROR"]

    def status(self, stream: str) -> str | None:
        """Return the last status of a stream: COMPLETE or INCOMPLETE at the end of a sync."""
        statuses = [trace["stream_status"] for trace in self.of("TRACE") if trace["type"] == "STREAM_STATUS"]
        own = [status["status"] for status in statuses if status["stream_descriptor"]["name"] == stream]
        return own[-1] if own else None


_BODY = {"CONNECTION_STATUS": "connectionStatus"}


@dataclass
class Connector:
    """The command with a config and a folder for its files."""

    config: dict[str, Any]
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    command: Path = COMMAND
    sync_mode: str = "incremental"

    def check(self) -> Result:
        return self.run("check", "--config", self.write("config", self.config))

    def discover(self) -> Result:
        return self.run("discover", "--config", self.write("config", self.config))

    def read(self, streams: Sequence[str] = STREAMS, state: list[dict[str, Any]] | None = None) -> Result:
        return self.run(*self.read_arguments(streams, state))

    def sync(self, streams: Sequence[str] = STREAMS, state: list[dict[str, Any]] | None = None) -> Result:
        """Run `read`, and assert that it succeeds and that all its streams are complete."""
        result = self.read(streams, state)
        assert result.exit_code == 0, result.errors or result.output[-2_000:]
        assert {stream: result.status(stream) for stream in streams} == dict.fromkeys(streams, "COMPLETE")
        return result

    def run(self, *arguments: str) -> Result:
        process = subprocess.run(
            [str(self.command), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
            env={**os.environ, **self.environment},
            check=False,
        )
        return Result(process.returncode, process.stdout.decode())

    def read_arguments(self, streams: Sequence[str], state: list[dict[str, Any]] | None) -> list[str]:
        arguments = ["read", "--config", self.write("config", self.config)]
        catalog = {"streams": [_configured(name, self.sync_mode) for name in streams]}
        arguments += ["--catalog", self.write("catalog", catalog)]
        return arguments if state is None else [*arguments, "--state", self.write("state", state)]

    def write(self, name: str, content: Any) -> str:
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps(content))
        return str(path)


def parse_messages(output: str) -> list[Message]:
    """Parse the lines that are messages. A kill may have cut off the last line, and a traceback is no message."""
    lines = output.split("\n")[:-1]
    return [orjson.loads(line) for line in lines if line.startswith("{")]


def _configured(name: str, sync_mode: str) -> dict[str, Any]:
    """Return the entry of a configured catalog for a stream."""
    return {
        "stream": {"name": name, "json_schema": {}, "supported_sync_modes": ["full_refresh", "incremental"]},
        "sync_mode": sync_mode,
        "destination_sync_mode": "append_dedup",
        "cursor_field": ["date_created" if name == "activities" else "date_updated"],
        "primary_key": [["id"]],
    }

"""Read the output of a run: the records and the last state of each stream."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson


@dataclass
class Written:
    """For each stream, `rows` counts the records, `ids` contains each id once, and `states` has the last state."""

    rows: dict[str, int] = field(default_factory=dict)
    ids: dict[str, set[str]] = field(default_factory=dict)
    states: dict[str, Any] = field(default_factory=dict)
    record_bytes: int = 0


def read_output(path: Path) -> Written:
    """Read messages of the Airbyte or Singer protocol, one per line; skip a line that a crash has truncated."""
    written = Written()
    with path.open("rb") as lines:
        for line in lines:
            try:
                message = orjson.loads(line)
            except orjson.JSONDecodeError:
                continue
            _take(message, len(line), written)
    return written


def _take(message: dict[str, Any], size: int, written: Written) -> None:
    if message.get("type") == "RECORD":
        airbyte = isinstance(message.get("record"), dict) and "stream" not in message
        stream, data = (
            (message["record"]["stream"], message["record"]["data"])
            if airbyte
            else (message["stream"], message["record"])
        )
        written.rows[stream] = written.rows.get(stream, 0) + 1
        written.ids.setdefault(stream, set()).add(data["id"])
        written.record_bytes += size
    elif message.get("type") == "STATE" and "state" in message:
        state = message["state"]
        written.states[state["stream"]["stream_descriptor"]["name"]] = state

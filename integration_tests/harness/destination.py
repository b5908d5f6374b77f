"""Keeps what reads emit, also those that are killed, as a destination does."""

from dataclasses import dataclass, field
from typing import Any

from integration_tests.harness.running import STREAMS, Message


@dataclass
class Destination:
    """A destination that keeps one row for each id, and the state that it passes to the next read."""

    rows: dict[str, dict[str, dict[str, Any]]] = field(default_factory=lambda: {name: {} for name in STREAMS})
    committed: dict[str, set[str]] = field(default_factory=lambda: {name: set() for name in STREAMS})
    states: dict[str, Any] = field(default_factory=dict)

    def take(self, messages: list[Message]) -> None:
        """Add the messages of a read, complete or cut off."""
        since_state: dict[str, set[str]] = {name: set() for name in STREAMS}
        for message in messages:
            if message["type"] == "RECORD":
                stream = message["record"]["stream"]
                row = message["record"]["data"]
                before = self.rows[stream].get(row["id"])
                if before is None or stream == "activities" or row["date_updated"] >= before["date_updated"]:
                    self.rows[stream][row["id"]] = row
                since_state[stream].add(row["id"])
            elif message["type"] == "STATE":
                stream = message["state"]["stream"]["stream_descriptor"]["name"]
                self.states[stream] = message["state"]["stream"]
                self.committed[stream] |= since_state[stream]

    @property
    def state(self) -> list[dict[str, Any]] | None:
        """Return the content of a state file, or None without a state."""
        return [{"type": "STREAM", "stream": stream} for stream in self.states.values()] or None

"""The event log is read once for all streams of a sync, and no error makes it look read."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from source_close.streams.event_log import EventLog


class Events:
    """A stream of events that fails at its first read, with an error that is none of Close's."""

    def __init__(self) -> None:
        self.reads = 0

    def generate_partitions(self) -> Iterator[Any]:
        self.reads += 1
        if self.reads == 1:
            raise RuntimeError("out of attempts")
        event = {
            "id": "ev_1",
            "object_type": "lead",
            "object_id": "lead_1",
            "action": "deleted",
            "date_updated": "2025-06-15T10:00:00",
        }
        yield SimpleNamespace(read=lambda: [SimpleNamespace(data=event)])


def test_a_log_that_could_not_be_read_is_read_again_for_the_next_stream() -> None:
    log = EventLog()
    events = Events()
    with pytest.raises(RuntimeError):
        log.changes("activities", cast("Any", events))
    assert list(log.changes("leads", cast("Any", events))["lead"]) == ["lead_1"]
    assert list(log.changes("tasks", cast("Any", events))["lead"]) == ["lead_1"]
    assert events.reads == 2

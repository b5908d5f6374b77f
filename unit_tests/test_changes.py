"""What is taken from the event log, and how it is read once for all streams."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from itertools import permutations
from typing import Any

import pytest
from airbyte_cdk.models import FailureType

from source_close.changes import OVERLAP, ChangeLog, Changes, Deletion
from source_close.cursor import WindowCursor
from source_close.errors import CloseApiError
from source_close.state import StreamState
from source_close.windows import Row, Window, format_moment, parse_moment, subtract
from unit_tests.list_api import make_cursor

NOW = datetime(2025, 3, 1, tzinfo=timezone.utc)
MINUTE = timedelta(minutes=1)
RETENTION = timedelta(days=30)
CREATED = "2020-01-02T03:04:05+00:00"


def event(
    object_id: str, action: str = "updated", *, at: datetime = NOW, kind: str = "activity.note", **more: Any
) -> Row:
    stamp = at.replace(tzinfo=None).isoformat()  # as Close writes it
    return {"id": f"ev_{object_id}_{action}", "object_id": object_id, "object_type": kind, "action": action} | {
        "date_updated": stamp,
        **more,
    }


def changes_after(*events: Row, since: datetime = NOW - timedelta(days=1), kinds: tuple[str, ...] = ()) -> Changes:
    changes = Changes(kinds or ("activity.note", "lead", "task."), since)
    for one in events:
        changes.take(one, parse_moment(one["date_updated"]))
    return changes


@pytest.mark.parametrize(
    ("kind", "is_ours"),
    [
        ("activity.note", True),
        ("activity.notes", False),
        ("activity.call", False),
        ("task.lead", True),
        ("task.a_type_to_come", True),
        ("tasks", False),
        ("lead", True),
        ("lead_merge", False),
        ("custom_fields.lead", False),
    ],
)
def test_events_of_the_streams_own_types_count(kind: str, *, is_ours: bool) -> None:
    changes = changes_after(event("a", kind=kind), event("b", "deleted", kind=kind))
    assert (changes.changed, set(changes.deleted)) == (({"a"}, {"b"}) if is_ours else (set(), set()))


def test_events_count_from_the_position_on() -> None:
    edge = NOW - MINUTE
    just_before = event("before", at=edge - timedelta(milliseconds=1))
    assert changes_after(just_before, event("on", at=edge), since=edge).changed == {"on"}


@pytest.mark.parametrize("action", ["created", "updated", "sent", "answered", "completed", "canceled", "started"])
def test_whatever_is_no_deletion_is_a_change(action: str) -> None:
    changes = changes_after(event("a", action), event("a", action))
    assert (changes.changed, changes.deleted) == ({"a"}, {})


def test_a_merge_changes_the_destination_and_ends_the_source() -> None:
    meta = {"merge_source_lead_id": "lead_s", "merge_destination_lead_id": "lead_d"}
    merged = event("lead_d", "merged", kind="lead", meta=meta)
    assert changes_after(merged).changed == {"lead_d"}
    assert changes_after(merged).deleted == {"lead_s": Deletion(NOW)}
    # The same meta stands on everything that moved: that is no end of anything.
    moved = event("acti_1", "updated", meta=meta)
    assert changes_after(moved, event("lead_d", "updated", kind="lead", meta=meta)).deleted == {}
    assert changes_after(event("lead_d", "merged", kind="lead", meta=None)).deleted == {}


@pytest.mark.parametrize("hidden", [{}, {"previous_data": None}])
def test_of_several_deletions_the_last_counts_in_whatever_order_they_come(hidden: dict[str, Any]) -> None:
    """And the creation date is that of any event that shows it."""
    events = (
        event("a", "deleted", at=NOW - 3 * MINUTE, previous_data={"date_created": "2019-01-01T00:00:00+00:00"}),
        event("a", "deleted", at=NOW - 2 * MINUTE, previous_data={"date_created": CREATED, "note": "x"}),
        event("a", "deleted", at=NOW - MINUTE, **hidden),
        event("a", "created", at=NOW),
    )
    for order in permutations(events):
        changes = changes_after(*order)
        assert changes.changed == {"a"}
        deletion = changes.deleted["a"]
        assert deletion.moment == NOW - MINUTE
        assert deletion.date_created in {CREATED, "2019-01-01T00:00:00+00:00"}
    assert changes_after(*events).deleted["a"].date_created == CREATED


class Log:
    """An event log, and what was asked of it."""

    def __init__(self, *events: Row, error: Exception | None = None) -> None:
        self.events = events
        self.error = error
        self.asked: list[tuple[datetime, datetime]] = []

    def read(self, start: datetime, end: datetime) -> Iterator[list[Row]]:
        self.asked.append((start, end))
        yield [one for one in self.events if start <= parse_moment(one["date_updated"]) < end]
        if self.error is not None:
            raise self.error


def refused(status: int | None) -> CloseApiError:
    message = f"Stream event_log: GET /api/v1/event/ answered {status}."
    return CloseApiError(
        message=message, failure_type=FailureType.transient_error, status=status, text="", stream="event_log"
    )


def test_streams_of_differing_positions_share_one_sweep() -> None:
    early, late = NOW - timedelta(days=2), NOW - timedelta(hours=1)
    log = Log(event("old", at=early + MINUTE), event("new", at=late + MINUTE), event("t", kind="task.lead", at=late))
    change_log = ChangeLog(NOW, RETENTION, log.read)
    change_log.register("activities", ["activity.note"], late)
    change_log.register("tasks", ["task."], early)
    found: dict[str, Changes | None] = {}
    threads = [
        threading.Thread(target=lambda name=name: found.update({name: change_log.changes_of(name)}))
        for name in ("activities", "tasks")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert log.asked == [(early - OVERLAP, NOW)]
    assert found["activities"] is not None
    assert found["tasks"] is not None
    assert found["activities"].changed == {"new"}
    assert found["tasks"].changed == {"t"}


def test_the_overlap_may_be_longer_and_does_not_leave_what_is_kept() -> None:
    log = Log()
    change_log = ChangeLog(NOW, RETENTION, log.read)
    change_log.register("leads", ["lead"], NOW - timedelta(hours=1), timedelta(minutes=10))
    change_log.changes_of("leads")
    assert log.asked == [(NOW - timedelta(minutes=70), NOW)]
    log = Log()
    change_log = ChangeLog(NOW, RETENTION, log.read)
    change_log.register("leads", ["lead"], NOW - RETENTION + MINUTE)
    change_log.changes_of("leads")
    assert log.asked == [(NOW - RETENTION, NOW)]


@pytest.mark.parametrize(("days", "is_lost"), [(29.9, False), (30, False), (30.1, True), (400, True)])
def test_a_position_before_what_is_kept_is_warned_of(
    caplog: pytest.LogCaptureFixture, days: float, *, is_lost: bool
) -> None:
    change_log = ChangeLog(NOW, RETENTION, Log().read)
    position = NOW - timedelta(days=days)
    with caplog.at_level(logging.WARNING):
        change_log.register("activities", ["activity.note"], position)
    assert len(caplog.messages) == is_lost
    for message in caplog.messages:
        assert format_moment(position) in message
        assert format_moment(NOW - RETENTION) in message
        assert "Refresh (reset) the stream activities" in message


def closed(event_log: WindowCursor, feed: Any, events: tuple[Row, ...]) -> None:
    """Read the stream event_log as its retriever would."""
    for being_read in event_log.stream_slices():
        window: Window = being_read.window  # type: ignore[attr-defined]
        feed([one for one in events if window.contains(parse_moment(one["date_updated"]))])
        event_log.close(being_read)  # type: ignore[arg-type]


HOURS = [timedelta(hours=one) for one in range(6)]


@pytest.mark.parametrize(
    "saved",
    [
        StreamState(),
        StreamState(cursor=NOW - HOURS[5]),
        StreamState(cursor=NOW - HOURS[1]),
        StreamState(cursor=NOW - HOURS[4], closed_windows=((NOW - HOURS[3], NOW - HOURS[2]),)),
        StreamState(cursor=NOW - HOURS[4], closed_windows=((NOW - HOURS[3], NOW),)),
    ],
    ids=["first sync", "behind", "ahead", "interrupted", "interrupted near its end"],
)
def test_what_the_stream_event_log_reads_is_not_asked_for_again(saved: StreamState) -> None:
    """And what it leaves out, because an interrupted sync has emitted it, is."""
    events = tuple(event(f"a{minutes}", at=NOW - minutes * MINUTE) for minutes in range(1, 4 * 60))
    position = NOW - 4 * HOURS[1] + MINUTE
    event_log = make_cursor("date_updated", start=NOW - RETENTION, end=NOW, saved=saved, lookback=OVERLAP)
    log = Log(*events)
    change_log = ChangeLog(NOW, RETENTION, log.read)
    change_log.serve_from(event_log)
    change_log.register("activities", ["activity.note"], position)
    reader = threading.Thread(target=closed, args=(event_log, change_log.feed, events))
    planned = [Window(start, end) for start, end in event_log.planned]
    reader.start()
    changes = change_log.changes_of("activities")
    reader.join()
    assert changes is not None
    assert changes.changed == {one["object_id"] for one in events}
    for start, end in log.asked:
        for window in planned:
            assert subtract(Window(start, end), [(window.start, window.end)]) == [Window(start, end)]


@pytest.mark.parametrize("status", [402, 403])
def test_without_the_right_nothing_comes_and_one_warning_says_so(caplog: pytest.LogCaptureFixture, status: int) -> None:
    log = Log(event("a"), error=refused(status))
    change_log = ChangeLog(NOW, RETENTION, log.read)
    for stream in ("activities", "leads"):
        change_log.register(stream, ["activity.note"], NOW - HOURS[1])
    with caplog.at_level(logging.WARNING):
        assert [change_log.changes_of(stream) for stream in ("activities", "leads")] == [None, None]
    assert len(log.asked) == 1
    (message,) = caplog.messages
    assert "may not read the event log" in message
    assert f"answered {status}" in message


@pytest.mark.parametrize("status", [None, 400, 404, 500])
def test_what_fails_the_sweep_fails_every_stream_in_its_own_name(status: int | None) -> None:
    log = Log(event("a"), error=refused(status))
    change_log = ChangeLog(NOW, RETENTION, log.read)
    for stream in ("activities", "leads"):
        change_log.register(stream, ["activity.note"], NOW - HOURS[1])
    for stream in ("activities", "leads"):
        with pytest.raises(CloseApiError, match=f"^Stream {stream}: GET /api/v1/event/ answered {status}") as caught:
            change_log.changes_of(stream)
        assert caught.value.status == status
    assert len(log.asked) == 1


def test_a_fault_of_the_code_fails_every_stream() -> None:
    """Half a log must not pass for the whole."""
    log = Log(event("a"), error=KeyError("object_type"))
    change_log = ChangeLog(NOW, RETENTION, log.read)
    for stream in ("activities", "leads"):
        change_log.register(stream, ["activity.note"], NOW - HOURS[1])
    for stream in ("activities", "leads"):
        with pytest.raises(KeyError):
            change_log.changes_of(stream)


def test_what_ends_the_stream_event_log_ends_those_that_wait_for_it() -> None:
    event_log = make_cursor("date_updated", start=NOW - HOURS[2], end=NOW)
    change_log = ChangeLog(NOW, RETENTION, Log().read)
    change_log.serve_from(event_log)
    change_log.register("activities", ["activity.note"], NOW - HOURS[1])
    threading.Timer(0.05, event_log.fail, [refused(500)]).start()
    with pytest.raises(CloseApiError, match=r"^Stream activities: "):
        change_log.changes_of("activities")

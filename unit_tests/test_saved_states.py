"""Saved states: known and damaged forms, states in the future, and the position in the event log."""

import json
from pathlib import Path
from typing import Any

import pytest
from airbyte_cdk.models import AirbyteMessage, AirbyteStream, AirbyteStreamStatus, FailureType, SyncMode, Type
from airbyte_cdk.utils.stream_status_utils import as_airbyte_message
from requests_mock import ANY, Mocker

from source_close.api.sync import Sync
from source_close.source import SourceClose
from source_close.streams.event_log import EventLog
from source_close.streams.saved_states import CursorStateMigration, LogPositions, states_to_use
from unit_tests.syncs import API, NOW, Log, Reading, Row, catalog, read_with_positions, requested, saved, warnings

CURSOR = "2025-06-15T11:00:00.000000+00:00"
POSITION = "2025-06-15T06:00:00.000000+00:00"
SAVED = {"date_updated": CURSOR, "event_log_position": POSITION}
OF_TASKS = {"stream_descriptor": {"name": "tasks", "namespace": "crm"}, "stream_state": SAVED}
LOGGED = "2025-06-15T11:59:30.000000+00:00"
AHEAD = "2025-06-15T12:04:59.700000+00:00"
WRITTEN = "2024-05-06T07:08:09.010000+00:00"
SECOND = "2024-05-06T07:08:09.000000+00:00"  # as Close may truncate date filters


@pytest.fixture(autouse=True)
def _empty(api: Mocker) -> None:
    api.get(ANY, json={"data": []})
    api.post(ANY, json={"data": [], "cursor": None})


def tasks_between(start: str, end: str) -> str:
    bounds = f"date_updated__gte={start}:00.000000+00:00&date_updated__lt={end}:00.000000+00:00"
    return f"/task/?_limit=1000&_order_by=date_created&_skip=0&_type=all&{bounds}"


def positions(state: Row | None, stream: str = "tasks", *, others: Row | None = None, **more: Any) -> list[str | None]:
    """Sync a stream from its saved state, and return the positions in its states, each once."""
    states = dict(others or {})
    if state:
        states[stream] = state
    found = read_with_positions(stream, state=states, start_date="2025-06-01", **more).states(stream)
    return list(dict.fromkeys(one.get("event_log_position") for one in found))


def states_and_records(reading: Reading) -> list[str]:
    """Return the types of these messages in their order."""
    return [message.type.value for message in reading.messages if message.type.value in {"STATE", "RECORD"}]


def log_an_event(api: Mocker, object_type: str, object_id: str) -> None:
    """Log a change of an object at ``LOGGED``: its event may be ten seconds younger."""
    about = {"object_type": object_type, "object_id": object_id, "action": "updated"}
    api.get(f"{API}/event/", json={"data": [{"id": "ev_1", "date_updated": "2025-06-15T11:59:40", **about}]})


def migrate(state: Any, sync: Sync | None = None) -> Row:
    sync = sync or Sync(end=NOW)
    migration = CursorStateMigration("leads", {"sync": sync}, "date_updated")
    assert migration.should_migrate(state) is bool(state)
    return dict(migration.migrate(state))


DATE_RANGES = [
    {"start": "2024-05-10T00:00:00Z", "end": "2024-06-01T00:00:00Z", "most_recent_cursor_value": "2024-05-30"},
    {"start": "2024-01-01T00:00:00Z", "end": "2024-05-01T00:00:00Z", "most_recent_cursor_value": WRITTEN},
]
PARTITIONS = [
    {"partition": {"object_type": "lead"}, "cursor": {"date_updated": "2024-08-01T00:00:00Z"}},
    {"partition": {"object_type": "contact"}, "cursor": {"date_updated": WRITTEN}},
]
FORMS: dict[str, tuple[Row, str | None]] = {
    "empty": ({}, None),
    "own and public connector": ({"date_updated": WRITTEN}, SECOND),
    "Z": ({"date_updated": "2024-05-06T07:08:09.010Z"}, SECOND),
    "no zone": ({"date_updated": "2024-05-06T07:08:09.010000"}, SECOND),
    "offset": ({"date_updated": "2024-05-06T09:08:09.010000+02:00"}, SECOND),
    "date": ({"date_updated": "2024-05-06"}, "2024-05-06T00:00:00.000000+00:00"),
    "year 1": ({"date_updated": "0001-01-01T00:00:00+00:00"}, "1900-01-01T00:00:00.000000+00:00"),
    "its own cursor and another one": ({"end": "2024-01-01", "date_updated": WRITTEN}, SECOND),
    "an empty cursor and another one": ({"date_updated": None, "end": WRITTEN}, SECOND),
    "more fields": ({"date_updated": WRITTEN, "of_another_version": [1], "event_log_position": "x"}, SECOND),
    "from 0.1.0": ({"date_updated": WRITTEN, "closed_windows": [["2024-06-01", "2024-07-01"]]}, SECOND),
    "date-range": ({"state_type": "date-range", "legacy": {}, "slices": DATE_RANGES}, SECOND),
    "date-range without a newest value": ({"slices": [{"start": "2024-01-01T00:00:00Z", "end": WRITTEN}]}, SECOND),
    "partitions": ({"use_global_cursor": False, "states": PARTITIONS, "state": {"date_updated": "2024-09-01"}}, SECOND),
    "global cursor": ({"use_global_cursor": True, "state": {"date_updated": WRITTEN}, "lookback_window": 7}, SECOND),
    "of a stream without records": ({"use_global_cursor": True, "lookback_window": 0}, None),
    "before the first record": ({"event_log_position": WRITTEN}, None),
    "no cursor": ({"__ab_no_cursor_state_message": True}, None),
    "full refresh": ({"__ab_full_refresh_sync_complete": True}, None),
    "from 0.1.0 before the first record": ({"closed_windows": []}, None),
    "no partition": ({"states": []}, None),
}


@pytest.mark.parametrize(("saved", "cursor"), FORMS.values(), ids=FORMS.keys())
def test_a_cursor_is_read_from_every_known_form(saved: Row, cursor: str | None) -> None:
    sync = Sync(end=NOW)
    expected = {"date_updated": cursor} if cursor else {}
    assert migrate(saved, sync) == expected
    assert sync.unreadable_states == {}


@pytest.mark.parametrize(
    "saved",
    [
        {"date_updated": "yesterday"},
        {"date_updated": 1714979289},
        {"date_updated": {"value": WRITTEN}},
        {"date_updated": "0001-01-01T00:00:00+05:00"},
        {"date_created": WRITTEN},
        {"cursor": WRITTEN},
        {"state_type": "date-range", "slices": []},
        {"state_type": "date-range", "slices": [{"start": "2024-01-01", "end": "?"}]},
        {"states": [{"partition": {"object_type": "lead"}, "cursor": {"date_updated": "?"}}]},
    ],
    ids=str,
)
def test_the_message_about_a_damaged_state_says_how_to_reset(saved: Row) -> None:
    sync = Sync(end=NOW)
    assert migrate(saved, sync) == {}
    error = sync.unreadable_states["leads"]
    assert error.failure_type == FailureType.config_error
    message = str(error.message)
    assert message.startswith("Stream leads: its saved state can't be read (")
    assert "object" not in message  # no text of Python's
    assert message.endswith(
        "Refresh the stream; if it is event_log, retain its records, as Close keeps events for 30 days."
    )


@pytest.mark.parametrize("stream", ["custom_fields", "event_log", "leads", "tasks"])
def test_a_damaged_state_fails_its_stream_only_before_any_request_and_is_not_replaced(api: Mocker, stream: str) -> None:
    """Another state would hide the damage, and the next sync would not follow the log since then."""
    api.get(f"{API}/user/", json={"data": [{"id": "user_1", "date_updated": CURSOR}]})
    reading = read_with_positions(stream, "users", state={stream: {"date_updated": "garbage"}})
    [failure] = reading.failures
    assert failure.stream == stream
    assert failure.kind == "config_error"
    assert failure.message.startswith(f"Stream {stream}: its saved state can't be read (")
    assert reading.statuses == {stream: "INCOMPLETE", "users": "COMPLETE"}
    assert reading.ids == ["user_1"]
    assert requested(api) == ["/user/?_limit=1000&_skip=0"]
    assert reading.states(stream) == []


@pytest.mark.parametrize(
    "state",
    [
        {"type": "GLOBAL", "global": {"shared_state": {"cdc": "lsn 7"}, "stream_states": [OF_TASKS]}},
        {"type": "STREAM", "stream": OF_TASKS},
        {"stream": OF_TASKS},
        {"type": "LEGACY", "data": {"tasks": SAVED, "cdc": "lsn 7"}},
        {"data": {"tasks": SAVED, "cdc": "lsn 7"}},
    ],
    ids=["global", "of a stream", "of a stream without a type", "legacy", "legacy without a type"],
)
def test_a_state_is_used_for_its_streams_without_a_namespace_or_shared_state(tmp_path: Path, state: Row) -> None:
    path = tmp_path / "state.json"
    path.write_text(json.dumps([state]))
    states = SourceClose.read_state(str(path))
    assert states_to_use(states, catalog("tasks")) == saved(tasks=SAVED)
    assert states_to_use(states, catalog("leads")) == []


def test_a_full_refresh_ignores_a_state_and_reads_the_last_minutes_again(api: Mocker) -> None:
    read_with_positions("tasks", state={"tasks": SAVED}, whole=["tasks"], start_date="2025-06-15")
    assert requested(api) == [
        tasks_between("2025-06-15T00:00", "2025-06-15T12:00"),
        tasks_between("2025-06-15T11:50", "2025-06-16T12:00"),
    ]


def test_a_state_in_the_future_continues_from_now(caplog: Log) -> None:
    # A second earlier: without a window, no stream would follow the event log.
    expected = {"date_updated": "2025-06-15T11:59:59.000000+00:00"}
    assert migrate({"date_updated": "2025-06-15T12:00:00.001Z"}) == expected
    [warning] = warnings(caplog)
    assert "2025-06-15 12:00:00.001000+00:00 is in the future. The sync continues from now" in warning


def follow_the_log_from(position: str, *, capture_changes: bool) -> None:
    """Let only leads follow the log, although users have a position, too."""
    state = {"date_updated": "2020-01-01", "event_log_position": position}
    states = saved(leads=state, users=state)
    LogPositions(["leads"], states, Sync(end=NOW), capture_changes=capture_changes, is_first_sync=False)


def test_a_gap_in_the_event_log_logs_a_warning(caplog: Log) -> None:
    follow_the_log_from("2025-05-16T11:59:59Z", capture_changes=True)
    [warning] = warnings(caplog)
    assert "2025-05-16T11:59:59.000000+00:00" in warning
    assert "Close has events since 2025-05-16T12:00:00.000000+00:00" in warning
    assert "Refresh activities, leads and tasks to get their present state, but not event_log" in warning


def test_the_oldest_event_of_the_log_leaves_no_gap_and_changes_that_are_not_captured_have_none(caplog: Log) -> None:
    follow_the_log_from("2025-05-16T12:00:00Z", capture_changes=True)
    follow_the_log_from("2025-05-16T11:59:59Z", capture_changes=False)
    assert warnings(caplog) == []


def test_an_old_position_of_event_log_makes_no_other_stream_follow_the_log_from_there() -> None:
    sync = Sync(end=NOW)
    states = saved(event_log={"event_log_position": "2025-05-20T00:00:00Z"}, tasks={"event_log_position": NOW})
    LogPositions(["tasks"], states, sync, capture_changes=True, is_first_sync=False)
    assert sync.event_log_positions == {"tasks": NOW}


def test_a_stream_whose_state_was_cleared_follows_29_days_of_the_log() -> None:
    """Airbyte keeps its table when it fills new columns, and in a refresh that retains records.

    The positions of other streams may be newer: that of event_log, or one that was read when this one was not.
    """
    sync = Sync(end=NOW, full_refreshes=["activities"])
    states = saved(event_log=SAVED, tasks=SAVED)
    LogPositions(["activities", "leads", "tasks"], states, sync, capture_changes=True, is_first_sync=False)
    assert sync.event_log_positions == {"leads": "2025-05-17T12:00:00.000000+00:00", "tasks": POSITION}


@pytest.mark.parametrize(("other", "whole"), [("users", []), ("users", ["users"]), ("leads", [])])
def test_a_stream_without_a_state_has_a_position_before_any_record(api: Mocker, other: str, whole: list[str]) -> None:
    """If it is interrupted, the next sync continues from there. Any saved state says that it is not the first sync."""
    api.get(f"{API}/task/", json={"data": [{"id": "task_1", "date_updated": CURSOR}]})
    reading = read_with_positions("tasks", "users", state={other: SAVED}, whole=whole, start_date="2025-06-15")
    assert states_and_records(reading)[:2] == ["STATE", "RECORD"]
    assert reading.states("tasks")[0] == {"event_log_position": "2025-05-17T12:00:00.000000+00:00"}


def test_activities_without_a_position_follow_the_log_from_their_cursor() -> None:
    sync = Sync(end=NOW)
    states = saved(activities={"date_created": CURSOR})
    LogPositions(["activities"], states, sync, capture_changes=True, is_first_sync=False)
    assert sync.event_log_positions == {"activities": CURSOR}


@pytest.mark.parametrize("capture_changes", [True, False])
@pytest.mark.parametrize("stream", ["activities", "event_log", "leads", "tasks"])
def test_a_first_sync_saves_its_start_before_any_record(api: Mocker, stream: str, *, capture_changes: bool) -> None:
    rows = [{"id": "one", "date_created": CURSOR, "date_updated": CURSOR}]
    api.get(ANY, json={"data": rows})
    api.post(ANY, json={"data": rows, "cursor": None})
    reading = read_with_positions(stream, start_date="2025-06-15", capture_changes=capture_changes)
    assert states_and_records(reading)[:2] == ["STATE", "RECORD"]
    assert reading.states()[0] == {"event_log_position": NOW}
    assert {state["event_log_position"] for state in reading.states()} == {NOW}
    if stream != "event_log":
        assert requested(api, "/event") == []


@pytest.mark.parametrize(
    ("state", "saved_positions", "since", "windows"),
    [
        (SAVED, [POSITION, LOGGED], "2025-06-15T05:45:00", 7),
        ({"date_updated": CURSOR}, [CURSOR, LOGGED], "2025-06-15T10:45:00", 2),
        (SAVED | {"date_updated": "2025-06-20T00:00:00Z"}, [POSITION, LOGGED], "2025-06-15T05:45:00", 7),
        (SAVED | {"event_log_position": "2026-06-15T12:00:00+00:00"}, [CURSOR, LOGGED], "2025-06-15T10:45:00", 2),
        # Without a cursor, a stream that ignored its position would not follow the log at all.
        ({"event_log_position": AHEAD}, [AHEAD], "2025-06-15T11:49:59", 1),
        (
            SAVED | {"event_log_position": "0001-01-01T00:00:00+00:00"},
            ["1900-01-01T00:00:00.000000+00:00", LOGGED],
            "2025-05-16T12:00:00",
            30,
        ),
    ],
    ids=["both", "no position", "future cursor", "future position", "five minutes ahead by another clock", "year 1"],
)
def test_the_log_is_read_from_the_position_or_the_cursor_which_moves_when_the_stream_is_complete(
    api: Mocker, state: Row, saved_positions: list[str], since: str, windows: int
) -> None:
    log_an_event(api, "lead", "lead_1")
    others = {"leads": {"event_log_position": "2025-05-20T00:00:00+00:00"}, "activities": {"date_created": "yesterday"}}
    assert positions(state, others=others) == saved_positions, "streams that are not read have no effect"
    urls = requested(api, "/event")
    assert min(urls).startswith(f"/event/?_limit=50&date_updated__gte={since}.000000+00:00&")
    assert max(urls).endswith(f"&date_updated__lt={NOW}")
    assert len(urls) == windows


@pytest.mark.parametrize(
    ("position", "kept"),
    [
        (POSITION, [POSITION]),
        ("2025-06-01T00:00:00.000000+00:00", ["2025-06-01T00:00:00.000000+00:00", "2025-06-14T12:00:00.000000+00:00"]),
    ],
)
def test_a_log_that_stands_still_is_followed_from_there_for_a_day_at_most(position: str, kept: list[str]) -> None:
    """What Close logs meanwhile may show up hours later. After a day it counts as a log without events."""
    assert positions({"date_updated": CURSOR, "event_log_position": position}) == kept


def test_the_position_moves_even_if_the_last_state_comes_before_the_stream_is_complete() -> None:
    """The CDK emits it after that status, unless its queue is full."""
    [state] = saved(tasks={"date_updated": NOW})
    stream = AirbyteStream("tasks", {}, [SyncMode.incremental])
    complete = as_airbyte_message(stream, AirbyteStreamStatus.COMPLETE)
    sync = Sync(end=NOW)
    sync.share(EventLog).newest = LOGGED
    log_positions = LogPositions(["tasks"], saved(tasks=SAVED), sync, capture_changes=True, is_first_sync=False)
    emitted = log_positions.add_to([AirbyteMessage(Type.STATE, state=state), complete])
    assert Reading(list(emitted)).states() == [
        {"date_updated": NOW, "event_log_position": POSITION},
        {"date_updated": NOW, "event_log_position": LOGGED},
    ]


@pytest.mark.parametrize(("stream", "state"), [("tasks", {"tasks": SAVED}), ("users", {})])
def test_a_stream_that_has_its_position_or_needs_none_gets_no_state_before_its_first_record(
    api: Mocker, stream: str, state: Row
) -> None:
    api.get(ANY, json={"data": [{"id": "one", "date_updated": CURSOR}]})
    assert states_and_records(read_with_positions(stream, state=state))[0] == "RECORD"


@pytest.mark.parametrize(
    ("path", "code", "status"), [("task", 403, "INCOMPLETE"), ("event", 403, "COMPLETE"), ("event", 400, "INCOMPLETE")]
)
def test_a_stream_that_fails_or_has_no_log_keeps_its_position(api: Mocker, path: str, code: int, status: str) -> None:
    position = "2025-06-01T00:00:00.000000+00:00"  # so old that a sync of the whole stream would move it
    api.get(f"{API}/{path}/", status_code=code)
    reading = read_with_positions("tasks", state={"tasks": SAVED | {"event_log_position": position}})
    assert reading.statuses == {"tasks": status}
    assert {state["event_log_position"] for state in reading.states()} == {position}


def test_a_stream_that_can_not_read_what_the_log_reports_keeps_its_position(api: Mocker) -> None:
    log_an_event(api, "task.lead", "task_1")
    api.post(f"{API}/task/", status_code=403)
    reading = read_with_positions("tasks", state={"tasks": SAVED})
    assert reading.statuses == {"tasks": "INCOMPLETE"}
    assert {state["event_log_position"] for state in reading.states()} == {POSITION}


def test_positions_with_different_offsets_are_compared_as_moments(api: Mocker) -> None:
    states = {"tasks": {"date_updated": "2025-06-15T01:00:00+05:00"}, "leads": {"date_updated": "2025-06-15T00:30:00Z"}}
    read_with_positions("tasks", "leads", state=states)
    assert "date_updated__gte=2025-06-14T19:45:00.000000+00:00" in requested(api, "/event")[0]


def test_a_state_of_another_form_is_kept_until_the_cdk_saves_a_new_one() -> None:
    slices = {"state_type": "date-range", "slices": [{"start": "2025-06-01T00:00:00Z", "end": CURSOR}]}
    states = read_with_positions("tasks", state={"tasks": slices}, start_date="2025-06-01").states()
    assert states[0] == {**slices, "event_log_position": NOW}
    assert states[-1] == {"date_updated": CURSOR, "event_log_position": NOW}


@pytest.mark.parametrize(
    ("state", "stream", "position"),
    [
        (SAVED, "tasks", POSITION),
        ({"date_updated": CURSOR}, "tasks", CURSOR),
        (None, "tasks", NOW),
        (None, "users", None),
    ],
)
def test_positions_do_not_change_when_changes_are_not_captured(
    api: Mocker, state: Row | None, stream: str, position: str | None
) -> None:
    """A first sync has a position all the same, in case that the option is switched on later."""
    assert positions(state, stream, capture_changes=False) == [position]
    assert requested(api, "/event") == []


@pytest.mark.parametrize("capture_changes", [True, False])
def test_a_long_time_without_events_is_no_gap_in_the_event_log(caplog: Log, *, capture_changes: bool) -> None:
    """The cursor is the newest event, here of 45 days ago; the position is the end of the last sync."""
    state = {"date_updated": "2025-05-01T12:00:00Z", "event_log_position": POSITION}
    assert positions(state, "event_log", capture_changes=capture_changes)[-1] == NOW
    assert warnings(caplog) == []

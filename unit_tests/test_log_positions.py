"""The event log position in the states of activities, event_log, leads and tasks."""

from typing import Any

import pytest
from airbyte_cdk.models import AirbyteMessage, AirbyteStream, AirbyteStreamStatus, SyncMode, Type
from airbyte_cdk.utils.stream_status_utils import as_airbyte_message
from requests_mock import ANY, Mocker

from source_close.api.sync import Sync
from source_close.streams.saved_states import LogPositions
from unit_tests.syncs import API, Log, Row, read_with_positions, requested
from unit_tests.syncs import saved as saved_states

CURSOR = "2025-06-15T11:00:00.000000+00:00"
POSITION = "2025-06-15T06:00:00.000000+00:00"
END = "2025-06-15T12:00:00.000000+00:00"


@pytest.fixture(autouse=True)
def _empty(api: Mocker) -> None:
    api.get(ANY, json={"data": []})
    api.post(ANY, json={"data": [], "cursor": None})


def positions(*streams: str, **options: Any) -> list[str | None]:
    """Return the positions in the states of the first stream, each once."""
    states = read_with_positions(*streams, start_date="2025-06-01", **options).states(streams[0])
    return list(dict.fromkeys(state.get("event_log_position") for state in states))


def events_since(start: str) -> str:
    return f"/event/?_limit=50&date_updated__gte={start}&date_updated__lt={END}"


def saved(**more: str) -> Row:
    return {"tasks": {"date_updated": CURSOR, **more}}


@pytest.mark.parametrize("stream", ["activities", "event_log", "leads", "tasks"])
def test_a_first_sync_saves_its_start_as_the_position_before_any_record(api: Mocker, stream: str) -> None:
    rows = [{"id": "one", "date_created": CURSOR, "date_updated": CURSOR}]
    api.get(ANY, json={"data": rows})
    api.post(ANY, json={"data": rows, "cursor": None})
    reading = read_with_positions(stream, start_date="2025-06-15")
    kinds = [message.type.value for message in reading.messages if message.type.value in {"STATE", "RECORD"}]
    assert kinds[:2] == ["STATE", "RECORD"]
    assert reading.states()[0] == {"event_log_position": END}
    assert {state["event_log_position"] for state in reading.states()} == {END}
    assert stream == "event_log" or requested(api, "/event") == []


def test_a_sync_after_an_interrupted_first_sync_reads_all_records_and_the_log_from_the_position(api: Mocker) -> None:
    read_with_positions("tasks", state={"tasks": {"event_log_position": POSITION}}, start_date="2025-06-15")
    assert requested(api, "/task") == [
        f"/task/?_limit=1000&_order_by=date_created&_skip=0&_type=all&date_updated__gte=2025-06-15T00:00:00.000000+00:00&date_updated__lt={END}"
    ]
    assert requested(api, "/event") == [events_since("2025-06-15T05:50:00.000000+00:00")]


def test_the_position_moves_in_the_last_state_of_a_complete_stream() -> None:
    assert positions("tasks", state=saved(event_log_position=POSITION)) == [POSITION, END]


def test_the_position_moves_even_if_the_last_state_comes_before_the_stream_is_complete() -> None:
    """The CDK emits it after that status, unless its queue is full."""
    before = {"date_updated": CURSOR, "event_log_position": POSITION}
    [state] = [AirbyteMessage(Type.STATE, state=one) for one in saved_states(tasks={"date_updated": END})]
    stream = AirbyteStream("tasks", {}, [SyncMode.incremental])
    messages = [state, as_airbyte_message(stream, AirbyteStreamStatus.COMPLETE)]
    emitted = LogPositions(["tasks"], ["tasks"], saved_states(tasks=before)).add_to(messages, Sync(end=END))
    states = [vars(one.state.stream.stream_state) for one in emitted if one.state and one.state.stream]
    assert states == [{"date_updated": END, "event_log_position": position} for position in (POSITION, END)]


def test_a_failed_stream_keeps_its_position(api: Mocker) -> None:
    api.get(f"{API}/task/", status_code=403)
    assert set(positions("tasks", state=saved(event_log_position=POSITION))) == {POSITION}


def test_a_stream_keeps_its_position_when_the_log_is_forbidden(api: Mocker) -> None:
    api.get(f"{API}/event/", status_code=403)
    reading = read_with_positions("tasks", state=saved(event_log_position=POSITION))
    assert reading.statuses == {"tasks": "COMPLETE"}
    assert {state["event_log_position"] for state in reading.states()} == {POSITION}


def test_the_log_is_read_from_the_cursor_when_no_position_is_saved(api: Mocker) -> None:
    assert positions("tasks", state=saved()) == [CURSOR, END]
    assert requested(api, "/event") == [events_since("2025-06-15T10:50:00.000000+00:00")]


def test_a_position_in_the_future_is_replaced_by_the_cursor(api: Mocker) -> None:
    assert positions("tasks", state=saved(event_log_position="2026-06-15T12:00:00+00:00")) == [CURSOR, END]
    assert len(requested(api, "/event")) == 1


def test_a_position_that_another_clock_saved_may_be_five_minutes_ahead(api: Mocker) -> None:
    """Without a cursor, a stream that ignored its position would not follow the log at all."""
    positions("tasks", state={"tasks": {"event_log_position": "2025-06-15T12:04:59+00:00"}})
    assert requested(api, "/event") == [events_since("2025-06-15T11:54:59.000000+00:00")]


def test_the_log_is_followed_when_the_cursor_is_in_the_future(api: Mocker) -> None:
    state = {"activities": {"date_created": "2025-06-20T00:00:00Z", "event_log_position": POSITION}}
    assert positions("activities", state=state, attribution_window_hours=0) == [POSITION, END]
    assert len(requested(api, "/event")) == 1


def test_positions_with_different_offsets_are_compared_as_moments(api: Mocker) -> None:
    states = {"tasks": {"date_updated": "2025-06-15T01:00:00+05:00"}, "leads": {"date_updated": "2025-06-15T00:30:00Z"}}
    read_with_positions("tasks", "leads", state=states)
    assert requested(api, "/event") == [events_since("2025-06-14T19:50:00.000000+00:00")]


def test_the_state_of_a_stream_that_is_not_read_has_no_effect(api: Mocker) -> None:
    others = {"leads": {"event_log_position": "2025-05-20T00:00:00+00:00"}, "activities": {"date_created": "yesterday"}}
    assert positions("tasks", state={**saved(event_log_position=POSITION), **others}) == [POSITION, END]
    assert requested(api, "/event") == [events_since("2025-06-15T05:50:00.000000+00:00")]


def test_a_state_of_another_form_is_kept_until_the_cdk_saves_a_new_one() -> None:
    slices = {"state_type": "date-range", "slices": [{"start": "2025-06-01T00:00:00Z", "end": CURSOR}]}
    states = read_with_positions("tasks", state={"tasks": slices}, start_date="2025-06-01").states()
    assert states[0] == {**slices, "event_log_position": END}
    assert states[-1] == {"date_updated": CURSOR, "event_log_position": END}


def test_positions_do_not_change_when_changes_are_not_captured(api: Mocker) -> None:
    """A first sync has a position all the same, in case that the option is switched on later."""
    kept = positions("tasks", state=saved(event_log_position=POSITION), capture_changes=False)
    assert set(kept) == {POSITION}
    assert set(positions("tasks", state=saved(), capture_changes=False)) == {None}
    assert set(positions("tasks", capture_changes=False)) == {END}
    assert set(positions("users", capture_changes=False)) == {None}
    assert requested(api, "/event") == []


@pytest.mark.parametrize("capture_changes", [True, False])
def test_a_long_time_without_events_is_no_gap_in_the_event_log(log: Log, *, capture_changes: bool) -> None:
    """The cursor is the newest event, here of 45 days ago; the position is the end of the last sync."""
    state = {"event_log": {"date_updated": "2025-05-01T12:00:00Z", "event_log_position": POSITION}}
    assert positions("event_log", state=state, capture_changes=capture_changes)[-1] == END
    assert log.warnings == []


def test_other_streams_have_no_position() -> None:
    states = read_with_positions("custom_fields", "users", start_date="2025-06-14").states()
    assert states
    assert not any("event_log_position" in state for state in states)


def test_a_position_of_the_year_1_counts_as_one_before_any_event(api: Mocker) -> None:
    state = saved(event_log_position="0001-01-01T00:00:00+00:00")
    assert positions("tasks", state=state) == ["1900-01-01T00:00:00.000000+00:00", END]
    assert requested(api, "/event")[0].startswith(
        "/event/?_limit=50&date_updated__gte=2025-05-16T12:00:00.000000+00:00&"
    )

"""The stream event_log: its 30 days, pages that lead past a window, and odd or repeated events."""

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from requests_mock import Mocker

from unit_tests.syncs import API, Log, Row, read, read_with_positions, requested, warnings

URL = f"{API}/event/"
NOON = datetime(2025, 6, 15, 12, tzinfo=timezone.utc)
EXPIRED = {"status_code": 400, "json": {"field-errors": {"_cursor": "Expired cursor"}}}
ANSWERED = 'Stream event_log: GET /api/v1/event/ answered 400: «{"field-errors": {"_cursor": "Expired cursor"}}». '


def event(number: int, at: datetime) -> Row:
    timespec = "milliseconds" if at.microsecond else "seconds"
    stamp = at.replace(tzinfo=None).isoformat(timespec=timespec)
    return {"id": f"ev_{number:03}", "date_created": stamp, "date_updated": stamp, "action": "updated"}


def events(count: int, step: timedelta) -> list[Row]:
    """Return events, newest first; the newest is a minute before noon."""
    return [event(number, NOON - timedelta(minutes=1) - number * step) for number in range(count)]


def page(rows: list[Row], cursor: str | None = None) -> Row:
    """Return a response of the event log."""
    return {"json": {"data": rows, "cursor_next": cursor, "cursor_previous": None}}


def window(start: str, end: str) -> str:
    return f"/event/?_limit=50&date_updated__gte={start}&date_updated__lt={end}"


def test_a_state_older_than_30_days_continues_30_days_ago_and_logs_the_gap(api: Mocker, caplog: Log) -> None:
    api.get(URL, json={"data": [], "cursor_next": None})
    # Only the cursor: states of version 0.1.0 and of other connectors have no position in the log.
    state = {"event_log": {"date_updated": "2025-04-01T00:00:00"}}
    read_with_positions("event_log", state=state, start_date="2024-01-01")
    assert requested(api)[0] == window("2025-05-16T12:00:00.000000+00:00", "2025-05-17T12:00:00.000000+00:00")
    [warning] = warnings(caplog)
    assert "its position in the event log is 2025-04-01T00:00:00.000000+00:00" in warning
    assert "2025-05-16T12:00:00.000000+00:00" in warning


@pytest.mark.parametrize(("time", "end"), [("12:00:00.001", "10T13"), ("12:00:00", "11T12")])
def test_windows_have_an_hour_if_the_log_is_followed_from_the_last_four_days(api: Mocker, time: str, end: str) -> None:
    api.get(URL, json={"data": [], "cursor_next": None})
    read("event_log", start_date="2025-06-10T12:00:00Z", event_log_positions={"leads": f"2025-06-11T{time}+00:00"})
    assert requested(api)[0] == window("2025-06-10T12:00:00.000000+00:00", f"2025-06-{end}:00:00.000000+00:00")


def test_requests_after_the_first_page_send_the_cursor_as_it_is_and_no_bounds(api: Mocker) -> None:
    rows = events(120, timedelta(minutes=1))
    api.get(URL, [page(rows[:50], "1e5"), page(rows[50:100], "None"), page(rows[100:])])
    reading = read("event_log", state={"event_log": {"date_updated": "2025-06-15T09:00:00"}})
    assert requested(api) == [
        window("2025-06-15T08:50:00.000000+00:00", "2025-06-15T12:00:00.000000+00:00"),
        "/event/?_cursor=1e5&_limit=50",
        "/event/?_cursor=None&_limit=50",
    ]
    assert reading.ids == [row["id"] for row in rows]


def test_each_window_is_read_again_if_a_cursor_has_expired(api: Mocker) -> None:
    """Those of a search expire after 30 seconds; Close does not document how long those of events are valid."""
    yesterday = [event(100 + number, NOON - timedelta(days=1, minutes=number)) for number in range(60)]
    today = events(60, timedelta(minutes=1))
    responses = []
    for rows in (yesterday, today):
        first = page(rows[:50], "two")
        responses += [first, EXPIRED, first, page(rows[50:])]
    api.get(URL, responses)
    reading = read("event_log", state={"event_log": {"date_updated": "2025-06-14T09:00:00"}})
    assert reading.statuses == {"event_log": "COMPLETE"}
    assert set(reading.ids) == {row["id"] for row in yesterday + today}
    assert api.call_count == 8


def test_a_window_is_read_again_only_once(api: Mocker, caplog: Log) -> None:
    rows = events(60, timedelta(minutes=1))
    first = page(rows[:50], "two")
    api.get(URL, [first, EXPIRED, first, EXPIRED, first, page(rows[50:])])
    reading = read("event_log", state={"event_log": {"date_updated": "2025-06-15T09:00:00"}})
    assert reading.statuses == {"event_log": "INCOMPLETE"}
    [failure] = reading.failures
    assert failure.message.startswith(f"{ANSWERED}Close rejected the request")
    assert caplog.messages.count(f"{ANSWERED}The window is read again, but only once.") == 1


def test_a_first_page_that_is_refused_because_of_a_cursor_is_requested_twice(api: Mocker) -> None:
    api.get(URL, status_code=400, json={"error": "Invalid cursor"})
    reading = read("event_log", start_date="2025-06-01")
    [failure] = set(reading.failures)
    assert failure.kind == "system_error"
    text = 'Stream event_log: GET /api/v1/event/ answered 400: «{"error": "Invalid cursor"}». Close'
    assert failure.message.startswith(text)
    assert api.call_count == 2


def test_a_cursor_that_leads_past_the_lower_bound_is_not_followed(api: Mocker) -> None:
    """Close does not document whether a cursor keeps the date range of its first page."""
    older = [event(900 + number, NOON - timedelta(hours=20, minutes=number)) for number in range(20)]
    rows = events(60, timedelta(minutes=2))
    api.get(URL, [page(rows[:50], "two"), page([*rows[50:], *older], "three")])
    reading = read("event_log", state={"event_log": {"date_updated": "2025-06-14T23:59:00"}})
    assert reading.ids == [row["id"] for row in rows]
    assert api.call_count == 2


@pytest.mark.parametrize("odd", [None, "", 17, True, [], "0", "17/01/2025", "2025-06-15T08:30:00-02:00"], ids=str)
def test_a_cursor_is_followed_after_an_event_whose_date_is_odd(api: Mocker, odd: Any) -> None:
    """It would be earlier than the window if it were compared as text, but it is not known to be."""
    rows = events(60, timedelta(minutes=1))
    rows[49]["date_updated"] = odd
    api.get(URL, [page(rows[:50], "two"), page(rows[50:])])
    reading = read("event_log", state={"event_log": {"date_updated": "2025-06-15T09:00:00"}})
    assert reading.ids == [row["id"] for row in rows]
    assert reading.statuses == {"event_log": "COMPLETE"}


def test_a_cursor_is_followed_among_events_of_the_moment_at_which_a_window_begins(api: Mocker) -> None:
    rows = [event(number, NOON - timedelta(minutes=20)) for number in range(60)]
    api.get(URL, [page(rows[:50], "two"), page(rows[50:])])
    reading = read("event_log", state={"event_log": {"date_updated": "2025-06-15T11:50:00"}})
    assert reading.ids == [row["id"] for row in rows]


def test_events_outside_the_window_are_dropped_when_the_api_ignores_the_bounds(api: Mocker) -> None:
    rows = [event(99, NOON + timedelta(seconds=1)), event(98, NOON), *events(30, timedelta(hours=1))]
    api.get(URL, json={"data": rows, "cursor_next": "next", "cursor_previous": None})
    reading = read("event_log", state={"event_log": {"date_updated": "2025-06-15T02:04:00"}})
    assert reading.ids == [f"ev_{number:03}" for number in range(11)]
    assert api.call_count == 1


def test_windows_begin_with_whole_seconds_and_an_event_near_a_bound_is_emitted_once(api: Mocker) -> None:
    """Close may truncate date filters, and a cursor may lead below the start of a window."""
    bound = NOON - timedelta(days=1)
    rows = [event(number, bound + timedelta(milliseconds=step)) for number, step in enumerate((-1, 0, 1))]
    api.get(URL, [page(rows[:1]), page(rows)])
    assert read("event_log", start_date="2025-06-13T12:00:00.500Z").ids == ["ev_000", "ev_001", "ev_002"]
    assert requested(api) == [
        window("2025-06-13T12:00:00.000000+00:00", "2025-06-14T12:00:00.000000+00:00"),
        window("2025-06-14T12:00:00.000000+00:00", "2025-06-15T12:00:00.000000+00:00"),
    ]


def test_cursors_that_form_a_cycle_fail_the_stream(api: Mocker) -> None:
    first, second, third = events(3, timedelta(minutes=1))
    api.get(URL, [page([first], "a"), *[page([second], "b"), page([third], "a")] * 9])
    [failure] = read("event_log", start_date="2025-06-15").failures
    assert "the list repeats the same page of 1 records" in failure.message
    assert api.call_count == 6


def test_pages_without_events_but_with_other_cursors_are_followed(api: Mocker) -> None:
    rows = events(10, timedelta(minutes=1))
    empty = [page([], f"after_{number}") for number in range(5)]
    api.get(URL, [page(rows[:5], "first"), *empty, page(rows[5:])])
    reading = read("event_log", state={"event_log": {"date_updated": "2025-06-15T10:00:00"}})
    assert reading.statuses == {"event_log": "COMPLETE"}
    assert reading.ids == [row["id"] for row in rows]


def test_a_full_page_without_the_key_of_the_cursor_fails_the_stream(api: Mocker) -> None:
    api.get(URL, json={"data": events(50, timedelta(minutes=1))})
    [failure] = read("event_log", state={"event_log": {"date_updated": "2025-06-15T10:00:00"}}).failures
    assert "does not say whether more records follow" in failure.message

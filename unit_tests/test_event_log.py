"""The event log: windows of one day over 30 days, a lookback of five minutes, and pages by cursor."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import requests_mock

from unit_tests.syncs import API, Row, read, read_with_positions, requested

URL = f"{API}/event/"
NOON = datetime(2025, 6, 15, 12, tzinfo=timezone.utc)


def event(number: int, at: datetime, **more: Any) -> Row:
    stamp = at.replace(tzinfo=None).isoformat(timespec="milliseconds" if at.microsecond else "auto")
    return {"id": f"ev_{number:03}", "date_created": stamp, "date_updated": stamp, "action": "updated", **more}


def events(count: int, step: timedelta) -> list[Row]:
    """Return events, newest first; the newest is a minute before noon."""
    return [event(number, NOON - timedelta(minutes=1) - number * step) for number in range(count)]


def moment(text: str) -> datetime:
    found = datetime.fromisoformat(text.upper())
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


class EventApi:
    """A mock of the event log, newest event first, with 50 events per page.

    With ``keeps_bounds`` a cursor keeps the date range of its first page; otherwise it continues to the oldest event.
    """

    def __init__(self, api: requests_mock.Mocker, rows: list[Row], *, keeps_bounds: bool = True) -> None:
        self.rows = sorted(rows, key=lambda row: (moment(row["date_updated"]), row["id"]), reverse=True)
        self.keeps_bounds = keeps_bounds
        self.queries: list[dict[str, str]] = []
        api.get(URL, json=self._respond)

    def _respond(self, request: Any, context: Any) -> Row:
        query = {name: values[0] for name, values in request.qs.items()}
        self.queries.append(query)
        assert len(self.queries) < 200, "the read does not end"
        skip, start, end = "0", query.get("date_updated__gte", ""), query.get("date_updated__lt", "")
        if "_cursor" in query:
            skip, start, end = query["_cursor"].split("|")
        found = [row for row in self.rows if moment(row["date_updated"]) < moment(end)]
        kept = start if self.keeps_bounds or "_cursor" not in query else ""
        found = [row for row in found if not kept or moment(row["date_updated"]) >= moment(kept)]
        everything = (
            found if self.keeps_bounds else [row for row in self.rows if moment(row["date_updated"]) < moment(end)]
        )
        first = int(skip)
        cursor = f"{first + 50}|{start}|{end}" if first + 50 < len(everything) else None
        return {"data": found[first : first + 50], "cursor_next": cursor, "cursor_previous": None}


def window(start: str, end: str) -> str:
    return f"/event/?_limit=50&date_updated__gte={start}&date_updated__lt={end}"


def test_a_first_sync_reads_30_days_in_windows_of_one_day(api: requests_mock.Mocker) -> None:
    api.get(URL, json={"data": [], "cursor_next": None})
    reading = read("event_log", start_date="2020-01-01")
    assert len(requested(api)) == 30
    assert requested(api)[0] == window("2025-05-16T12:00:00.000000+00:00", "2025-05-17T12:00:00.000000+00:00")
    assert requested(api)[-1] == window("2025-06-14T12:00:00.000000+00:00", "2025-06-15T12:00:00.000000+00:00")
    assert reading.states()[-1] == {"date_updated": "2025-05-16T12:00:00.000000+00:00"}


def test_a_first_sync_begins_at_a_start_date_within_the_30_days(api: requests_mock.Mocker) -> None:
    api.get(URL, json={"data": [], "cursor_next": None})
    read("event_log", start_date="2025-06-15T00:00:00Z")
    assert requested(api) == [window("2025-06-15T00:00:00.000000+00:00", "2025-06-15T12:00:00.000000+00:00")]


def test_a_later_sync_reads_five_minutes_again(api: requests_mock.Mocker) -> None:
    EventApi(api, events(20, timedelta(minutes=1)))
    reading = read("event_log", state={"event_log": {"date_updated": "2025-06-15T11:50:00"}})
    assert requested(api) == [window("2025-06-15T11:45:00.000000+00:00", "2025-06-15T12:00:00.000000+00:00")]
    assert reading.ids == [f"ev_{number:03}" for number in range(15)]
    assert reading.states()[-1] == {"date_updated": "2025-06-15T11:59:00.000000+00:00"}


def test_a_state_older_than_30_days_continues_30_days_ago_and_logs_the_gap(
    api: requests_mock.Mocker, caplog: pytest.LogCaptureFixture
) -> None:
    api.get(URL, json={"data": [], "cursor_next": None})
    state = {"event_log": {"date_updated": "2025-04-01T00:00:00"}}
    read_with_positions("event_log", state=state, start_date="2024-01-01")
    assert requested(api)[0] == window("2025-05-16T12:00:00.000000+00:00", "2025-05-17T12:00:00.000000+00:00")
    (warning,) = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert "the last sync reached 2025-04-01T00:00:00.000000+00:00" in warning
    assert "2025-05-16T12:00:00.000000+00:00" in warning


@pytest.mark.parametrize(
    "keeps_bounds", [True, False], ids=["the cursor keeps the bounds", "the cursor drops the bounds"]
)
@pytest.mark.parametrize("count", [0, 50, 51, 149])
def test_exactly_the_events_of_the_window_are_emitted_once(
    api: requests_mock.Mocker, count: int, keeps_bounds: bool
) -> None:
    older = [event(900 + number, NOON - timedelta(hours=20, minutes=number)) for number in range(500)]
    rows = events(count, timedelta(minutes=2))
    log = EventApi(api, [*rows, *older], keeps_bounds=keeps_bounds)
    reading = read("event_log", state={"event_log": {"date_updated": "2025-06-14T23:59:00"}})
    assert reading.ids == [row["id"] for row in rows]
    assert len(log.queries) <= count // 50 + 2


def test_requests_after_the_first_page_send_the_cursor_without_bounds(api: requests_mock.Mocker) -> None:
    log = EventApi(api, events(120, timedelta(minutes=1)))
    read("event_log", state={"event_log": {"date_updated": "2025-06-15T09:00:00"}})
    assert [sorted(query) for query in log.queries] == [
        ["_limit", "date_updated__gte", "date_updated__lt"],
        ["_cursor", "_limit"],
        ["_cursor", "_limit"],
    ]


def test_window_bounds_are_exact_to_the_millisecond(api: requests_mock.Mocker) -> None:
    tick, start = timedelta(milliseconds=1), datetime(2025, 6, 15, tzinfo=timezone.utc)
    moments = [start - tick, start, start + tick, NOON - tick, NOON, NOON + tick]
    log = EventApi(api, [event(number, at) for number, at in enumerate(moments)])
    reading = read("event_log", state={"event_log": {"date_updated": "2025-06-15T00:05:00"}})
    assert reading.ids == ["ev_003", "ev_002", "ev_001"]
    assert reading.states()[-1] == {"date_updated": "2025-06-15T11:59:59.999000+00:00"}
    later = read("event_log", state={"event_log": reading.states()[-1]}, now="2025-06-15T12:01:00+00:00")
    assert later.ids == ["ev_005", "ev_004", "ev_003"]
    assert len(log.queries) == 2


def test_events_outside_the_window_are_dropped_when_the_api_ignores_the_bounds(api: requests_mock.Mocker) -> None:
    rows = [event(99, NOON + timedelta(seconds=1)), event(98, NOON), *events(30, timedelta(hours=1))]
    api.get(URL, json={"data": rows, "cursor_next": "next", "cursor_previous": None})
    reading = read("event_log", state={"event_log": {"date_updated": "2025-06-15T02:04:00"}})
    assert reading.ids == [f"ev_{number:03}" for number in range(11)]
    assert api.call_count == 1


def test_data_and_previous_data_are_json_text_or_null(api: requests_mock.Mocker) -> None:
    at = NOON - timedelta(minutes=1)
    given = [
        event(3, at, data={"name": 'Zoë "Z" 🚀', "n": 1.5, "none": None}, previous_data={}),
        event(2, at),
        event(1, at, data=None, previous_data={"deep": {"list": [1, True]}}),
        event(0, at, data=[], previous_data=0),
    ]
    EventApi(api, given)
    records = read("event_log", start_date="2025-06-15").records
    assert [(record.get("data"), record.get("previous_data")) for record in records] == [
        ('{"name":"Zoë \\"Z\\" 🚀","n":1.5,"none":null}', "{}"),
        (None, None),
        (None, '{"deep":{"list":[1,true]}}'),
        ("[]", "0"),
    ]


def test_an_event_without_a_date_is_emitted_and_the_read_continues(api: requests_mock.Mocker) -> None:
    first = {"data": [event(1, NOON - timedelta(minutes=1)), {"id": "ev_odd"}], "cursor_next": "n"}
    second = {"data": [event(2, NOON - timedelta(minutes=2))], "cursor_next": None}
    api.get(URL, [{"json": first}, {"json": second}])
    reading = read("event_log", start_date="2025-06-15")
    assert reading.ids == ["ev_001", "ev_odd", "ev_002"]
    assert reading.states()[-1] == {"date_updated": "2025-06-15T11:59:00.000000+00:00"}

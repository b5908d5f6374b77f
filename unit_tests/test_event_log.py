"""The event log: 30 days, five minutes of overlap, pages by cursor alone, and an end that the reader finds itself."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import requests_mock

from unit_tests.streams import API, NOW, read

URL = f"{API}/event/"


def event(number: int, at: datetime, **more: Any) -> dict[str, Any]:
    stamp = at.replace(tzinfo=None).isoformat(timespec="milliseconds" if at.microsecond else "auto")
    return {"id": f"ev_{number:05}", "date_created": stamp, "date_updated": stamp, "object_type": "lead",
            "object_id": f"lead_{number}", "action": "updated", **more}  # fmt: skip


def events(count: int, step: timedelta, newest: datetime = NOW - timedelta(minutes=1)) -> list[dict[str, Any]]:
    return [event(number, newest - number * step) for number in range(count)]


def moment(text: str) -> datetime:
    read_text = datetime.fromisoformat(text)
    return read_text if read_text.tzinfo else read_text.replace(tzinfo=timezone.utc)


class EventApi:
    """Newest first, 50 a page. A cursor keeps the bounds of its first page, or goes on to the log's beginning."""

    def __init__(self, mock: requests_mock.Mocker, rows: list[dict[str, Any]], *, keeps_bounds: bool = False) -> None:
        self.rows = sorted(rows, key=lambda row: (moment(row["date_updated"]), row["id"]), reverse=True)
        self.keeps_bounds = keeps_bounds
        self.expire_at: set[int] = set()
        self.queries: list[dict[str, str]] = []
        mock.get(URL, json=self._answer)

    def _answer(self, request: Any, context: Any) -> dict[str, Any]:
        # requests-mock lower-cases its own view of the query; the url keeps cursors as they are
        query = {name: values[0] for name, values in request.qs.items()}
        self.queries.append(query)
        assert len(self.queries) < 200, "reads for ever"
        if "_cursor" in query:
            assert set(query) == {"_cursor", "_limit"}
            if len(self.queries) in self.expire_at:
                context.status_code = 400
                return {"errors": [], "field-errors": {"_cursor": "Invalid cursor"}}
            skip, start, end = query["_cursor"].split("|")
        else:
            skip, start, end = "0", query.get("date_updated__gte", ""), query.get("date_updated__lt", "")
        found = [row for row in self.rows if not end or moment(row["date_updated"]) < moment(end.upper())]
        if start:
            found = [row for row in found if moment(row["date_updated"]) >= moment(start.upper())]
        first = int(skip)
        page = found[first : first + 50]
        kept_start = start if self.keeps_bounds else ""
        more = first + 50 < len(
            found if kept_start else [r for r in self.rows if moment(r["date_updated"]) < moment(end.upper())]
        )
        cursor = f"{first + 50}|{kept_start}|{end}" if more else None
        return {"data": [dict(row) for row in page], "cursor_next": cursor, "cursor_previous": None}


def asked(query: dict[str, str]) -> tuple[str | None, str | None]:
    lower, upper = query.get("date_updated__gte"), query.get("date_updated__lt")
    return (lower and lower.upper(), upper and upper.upper())


def test_a_first_sync_asks_for_thirty_days(requests_mock: requests_mock.Mocker) -> None:
    api = EventApi(requests_mock, [])
    read("event_log", start_date="2020-01-01")
    assert [asked(query) for query in api.queries] == [
        ("2025-05-16T12:00:00.000000+00:00", "2025-06-15T12:00:00.000000+00:00")
    ]
    assert api.queries[0]["_limit"] == "50"


def test_a_later_start_date_applies(requests_mock: requests_mock.Mocker) -> None:
    api = EventApi(requests_mock, [])
    read("event_log", start_date="2025-06-01")
    assert asked(api.queries[0])[0] == "2025-06-01T00:00:00.000000+00:00"


def test_a_later_sync_reads_five_minutes_again(requests_mock: requests_mock.Mocker) -> None:
    api = EventApi(requests_mock, events(20, timedelta(minutes=1)))
    reading = read("event_log", {"date_updated": "2025-06-15T11:50:00"})
    assert asked(api.queries[0])[0] == "2025-06-15T11:45:00.000000+00:00"
    assert reading.ids == [f"ev_{n:05}" for n in range(15)]
    assert reading.states[-1] == {"date_updated": "2025-06-15T11:59:00.000000+00:00"}


def test_a_state_older_than_thirty_days_is_cut_and_the_gap_is_named(
    requests_mock: requests_mock.Mocker, caplog: pytest.LogCaptureFixture
) -> None:
    api = EventApi(requests_mock, [])
    read("event_log", {"date_updated": "2025-04-01T00:00:00"}, start_date="2024-01-01")
    assert asked(api.queries[0])[0] == "2025-05-16T12:00:00.000000+00:00"
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "30 days" in warning
    assert "2025-04-01T00:00:00.000000+00:00" in warning
    assert "2025-05-16T12:00:00.000000+00:00" in warning


@pytest.mark.parametrize("keeps_bounds", [True, False], ids=["the cursor keeps the bounds", "the cursor forgets them"])
@pytest.mark.parametrize("count", [0, 1, 49, 50, 51, 100, 101, 149])
def test_every_event_of_the_window_once_and_none_beyond_it(
    requests_mock: requests_mock.Mocker, count: int, keeps_bounds: bool
) -> None:
    older = [event(90_000 + n, NOW - timedelta(days=20, minutes=n)) for n in range(500)]
    rows = events(count, timedelta(minutes=2))
    api = EventApi(requests_mock, [*rows, *older], keeps_bounds=keeps_bounds)
    reading = read("event_log", {"date_updated": "2025-06-10T00:00:00"})
    assert reading.ids == [row["id"] for row in rows]
    assert len(api.queries) <= count // 50 + 3


def test_pages_after_the_first_carry_the_cursor_alone(requests_mock: requests_mock.Mocker) -> None:
    api = EventApi(requests_mock, events(120, timedelta(minutes=1)), keeps_bounds=True)
    read("event_log", {"date_updated": "2025-06-15T10:00:00"})
    assert [sorted(query) for query in api.queries] == [
        ["_limit", "date_updated__gte", "date_updated__lt"],
        ["_cursor", "_limit"],
        ["_cursor", "_limit"],
    ]


def test_edges_to_the_millisecond(requests_mock: requests_mock.Mocker) -> None:
    tick, start = timedelta(milliseconds=1), datetime(2025, 6, 10, 0, 0, tzinfo=timezone.utc)
    moments = [start - tick, start, start + tick, NOW - tick, NOW, NOW + tick]
    api = EventApi(requests_mock, [event(n, at) for n, at in enumerate(moments)])
    reading = read("event_log", {"date_updated": "2025-06-10T00:05:00"})
    assert sorted(reading.ids) == ["ev_00001", "ev_00002", "ev_00003"]
    assert reading.states[-1] == {"date_updated": "2025-06-15T11:59:59.999000+00:00"}
    later = read("event_log", reading.states[-1], now=NOW + timedelta(minutes=1))
    assert sorted(later.ids) == ["ev_00003", "ev_00004", "ev_00005"]
    assert len(api.queries) == 2


def test_an_api_that_ignores_the_first_pages_bounds_as_well(requests_mock: requests_mock.Mocker) -> None:
    rows = [event(90_001, NOW + timedelta(seconds=1)), event(90_000, NOW), *events(30, timedelta(hours=1))]
    requests_mock.get(URL, json={"data": rows, "cursor_next": "next", "cursor_previous": None})
    reading = read("event_log", {"date_updated": "2025-06-15T02:04:00"})
    assert reading.ids == [f"ev_{n:05}" for n in range(11)]
    assert requests_mock.call_count == 1


def test_an_expired_cursor_goes_on_at_the_oldest_event(requests_mock: requests_mock.Mocker) -> None:
    rows = events(120, timedelta(minutes=1))
    api = EventApi(requests_mock, rows, keeps_bounds=True)
    api.expire_at = {3}
    reading = read("event_log", {"date_updated": "2025-06-15T09:55:00"})
    assert reading.ids == [row["id"] for row in rows]
    assert [asked(query) for query in api.queries if "_cursor" not in query] == [
        ("2025-06-15T09:50:00.000000+00:00", "2025-06-15T12:00:00.000000+00:00"),
        ("2025-06-15T09:50:00.000000+00:00", "2025-06-15T10:20:00.001000+00:00"),
    ]
    assert len(api.queries) == 4


def test_a_cursor_that_expires_amid_ties_loses_and_repeats_none(requests_mock: requests_mock.Mocker) -> None:
    rows = [event(n, NOW - timedelta(minutes=1 + n // 30)) for n in range(120)]
    api = EventApi(requests_mock, rows, keeps_bounds=True)
    api.expire_at = {2}
    reading = read("event_log", {"date_updated": "2025-06-15T09:55:00"})
    assert sorted(reading.ids) == [row["id"] for row in rows]


def test_a_long_log_is_shared(requests_mock: requests_mock.Mocker) -> None:
    rows = events(2_000, timedelta(minutes=20))
    api = EventApi(requests_mock, rows)
    reading = read("event_log", start_date="2024-01-01")
    assert sorted(reading.ids) == [row["id"] for row in rows]
    assert len({asked(query)[0] for query in api.queries if "_cursor" not in query}) >= 4
    assert len(reading.states) >= 5
    assert len(api.queries) <= 1.25 * 40


def test_data_is_json_text_and_null_where_it_is_absent(requests_mock: requests_mock.Mocker) -> None:
    at = NOW - timedelta(minutes=1)
    EventApi(
        requests_mock,
        [
            event(1, at, data={"id": "lead_1", "name": "Zoë", "n": 1.5}, previous_data={}),
            event(2, at - timedelta(minutes=1)),
            event(3, at - timedelta(minutes=2), data=None, previous_data={"deep": {"list": [1, None]}}),
        ],
    )
    records = read("event_log").records
    assert [(record["data"], record["previous_data"]) for record in records] == [
        ('{"id":"lead_1","name":"Zoë","n":1.5}', "{}"),
        (None, None),
        (None, '{"deep":{"list":[1,null]}}'),
    ]


def test_an_event_without_a_stamp_is_emitted_and_stops_nothing(
    requests_mock: requests_mock.Mocker, caplog: pytest.LogCaptureFixture
) -> None:
    first = {"data": [event(1, NOW - timedelta(minutes=1)), {"id": "ev_odd", "date_updated": None}], "cursor_next": "n"}
    second = {"data": [event(2, NOW - timedelta(minutes=2))], "cursor_next": None}
    requests_mock.get(URL, [{"json": first}, {"json": second}])
    assert read("event_log").ids == ["ev_00001", "ev_odd", "ev_00002"]
    assert "without a readable date_updated" in caplog.text

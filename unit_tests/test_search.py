"""Searches: cursor chains that end after 10,000 rows, expired cursors, ties, and an index that lags behind."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
import requests_mock

from source_close.dates import format_moment
from unit_tests.search_api import SearchApi, ranges
from unit_tests.syncs import Row, read

START = datetime(2025, 6, 1, tzinfo=timezone.utc)
CREATED = datetime(2024, 1, 1, tzinfo=timezone.utc)


def lead(number: int, updated: datetime, created: datetime = CREATED) -> Row:
    dates = {"date_created": format_moment(created), "date_updated": format_moment(updated)}
    return {"id": f"lead_{number:06}", **dates}


def within_a_second(count: int) -> list[Row]:
    return [lead(number, START + timedelta(milliseconds=number * 999 // count)) for number in range(count)]


def minutes(count: int) -> list[Row]:
    return [lead(number, START + timedelta(minutes=number)) for number in range(count)]


def read_ids() -> list[str]:
    reading = read("leads", start_date="2025-06-01")
    assert reading.failures == []
    return sorted(reading.ids)


def ids(rows: list[Row]) -> list[str]:
    return sorted(row["id"] for row in rows)


def begins(search: SearchApi) -> list[str]:
    """Return the cursor of each page request; for the first page of a chain, the start of its date range."""
    return [body.get("cursor", ranges(body)["date_updated"][0]) for body in search.pages]


def test_a_new_chain_continues_after_10000_rows(api: requests_mock.Mocker) -> None:
    rows = within_a_second(14_000)  # 14 or 15 leads share each millisecond
    search = SearchApi(api, rows)
    assert read_ids() == ids(rows)
    # The rows fill 70 pages. The second chain repeats the last page of the first, and the rows that tie with its start.
    assert len(search.pages) == 72
    assert [ranges(body)["date_updated"][0] for body in search.pages if "cursor" not in body] == [
        "2025-06-01T00:00:00.000000+00:00",
        rows[9_800]["date_updated"],
    ]


@pytest.mark.parametrize("total", [9_800, 9_999, 10_000, 10_001])
def test_a_window_about_as_long_as_a_chain_is_read_completely(api: requests_mock.Mocker, total: int) -> None:
    rows = within_a_second(total)
    search = SearchApi(api, rows)
    assert read_ids() == ids(rows)
    assert len(search.pages) <= 53


def test_an_expired_cursor_repeats_only_the_previous_page(api: requests_mock.Mocker) -> None:
    rows = minutes(1_000)
    search = SearchApi(api, rows)
    search.expire_at = {4}
    assert read_ids() == ids(rows)
    # Three pages, the expired request, and a new chain from the last page: rows 400, 600 and 800.
    assert begins(search) == [
        "2025-06-01T00:00:00.000000+00:00",
        "MjAw",
        "NDAw",
        "NjAw",
        rows[400]["date_updated"],
        "MjAw",
        "NDAw",
    ]
    assert [ranges(body)["date_updated"] for body in search.counts] == [
        ("2025-06-01T00:00:00.000000+00:00", rows[400]["date_updated"])
    ]


def test_a_read_whose_cursors_expire_repeatedly_completes(api: requests_mock.Mocker) -> None:
    rows = minutes(1_000)
    search = SearchApi(api, rows)
    search.expire_at = set(range(3, 200, 2))
    assert read_ids() == ids(rows)
    assert len(search.bodies) < 60


def test_more_ties_than_a_chain_returns_are_read_by_date_created(api: requests_mock.Mocker) -> None:
    moment = START + timedelta(days=9)
    tied = [lead(number, moment, CREATED + timedelta(minutes=number)) for number in range(10_450)]
    just_after = lead(60_000, moment + timedelta(milliseconds=1))
    rows = [*tied, just_after, *(lead(50_000 + day, START + timedelta(days=day)) for day in (*range(9), 11))]
    search = SearchApi(api, rows)
    assert read_ids() == ids(rows)
    assert len(search.bodies) <= 170
    by_creation = [body for body in search.pages if "date_created" in ranges(body)]
    assert {ranges(body)["date_updated"] for body in by_creation} == {
        ("2025-06-10T00:00:00.000000+00:00", "2025-06-10T00:00:00.001000+00:00")
    }
    assert {body["sort"][0]["field"]["field_name"] for body in search.bodies} == {"date_updated"}


def test_more_ties_in_both_dates_than_a_chain_returns_fail_the_stream(api: requests_mock.Mocker) -> None:
    SearchApi(api, [lead(number, START) for number in range(10_450)])
    reading = read("leads", start_date="2025-06-01")
    ((stream, kind, message),) = reading.failures
    assert (stream, kind) == ("leads", "transient_error")
    assert message.startswith(
        "Stream leads: more than 10000 records share the moment 2024-01-01T00:00:00.000000+00:00 in "
        "date_created and date_updated, and Close's search returns no more."
    )
    assert reading.statuses == {"leads": "INCOMPLETE"}


def newer(edited: list[Row]) -> dict[str, Row]:
    """Return the rows by id, with a newer ``date_updated`` than in the index."""
    return {row["id"]: {**row, "date_updated": "2025-06-15T11:59:59+00:00"} for row in edited}


def test_rows_newer_than_in_the_index_cause_no_gap(api: requests_mock.Mocker) -> None:
    rows = within_a_second(14_000)
    search = SearchApi(api, rows)
    as_sent = newer(rows[9_700:10_100:3])
    search.as_sent = lambda row: as_sent.get(row["id"], row)
    assert read_ids() == ids(rows)


def test_a_page_of_only_newer_rows_causes_no_gap(api: requests_mock.Mocker) -> None:
    rows = minutes(1_000)
    search = SearchApi(api, rows)
    search.expire_at = {4}
    as_sent = newer(rows[400:600])
    search.as_sent = lambda row: as_sent.get(row["id"], row)
    assert read_ids() == ids(rows)
    assert len(search.bodies) <= 40


def test_rows_without_a_date_cause_no_gap(api: requests_mock.Mocker) -> None:
    rows = minutes(1_000)
    search = SearchApi(api, rows)
    search.expire_at = {4}
    search.as_sent = lambda row: {**row, "date_updated": None}
    assert sorted(set(read("leads", start_date="2025-06-01").ids)) == ids(rows)

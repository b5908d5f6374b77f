"""Leads: the search that is sent, and chains of cursors that end early, expire, tie and lag."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import requests_mock

from source_close.errors import CloseApiError
from source_close.windows import format_moment
from unit_tests.search_api import SearchApi
from unit_tests.streams import read

START = datetime(2025, 1, 1, tzinfo=timezone.utc)
CREATED = datetime(2024, 1, 1, tzinfo=timezone.utc)
FIELD = {"type": "regular_field", "object_type": "lead", "field_name": "date_updated"}
FIELDS = [
    "id", "date_created", "date_updated", "organization_id", "created_by", "updated_by", "created_by_name",
    "updated_by_name", "name", "display_name", "status_id", "status_label", "contact_ids", "addresses", "contacts",
    "opportunities", "tasks", "contacts_summary", "description", "html_url", "integration_links", "localtime",
    "primary_address_summary", "primary_email", "primary_phone", "recent_calls", "source", "summaries", "url", "custom",
]  # fmt: skip


def lead(number: int, updated: datetime, created: datetime = CREATED) -> dict[str, Any]:
    return {
        "__object_type": "lead",
        "id": f"lead_{number:06}",
        "date_created": format_moment(created),
        "date_updated": format_moment(updated),
    }


def leads(count: int, step: timedelta, start: datetime = START) -> list[dict[str, Any]]:
    return [lead(number, start + number * step) for number in range(count)]


def ids(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(row["id"] for row in rows)


def range_of(body: dict[str, Any]) -> tuple[str, str]:
    condition = body["query"]["queries"][1]["condition"]
    return condition["on_or_after"]["value"], condition["before"]["value"]


def test_the_search_that_is_sent(requests_mock: requests_mock.Mocker) -> None:
    api = SearchApi(requests_mock, leads(250, timedelta(hours=1)))
    read("leads", {"date_updated": "2025-01-01T00:10:00Z"}, start_date="2024-06-01")
    query = {
        "type": "and",
        "queries": [
            {"type": "object_type", "object_type": "lead"},
            {
                "type": "field_condition",
                "field": FIELD,
                "condition": {
                    "type": "moment_range",
                    "on_or_after": {"type": "fixed_utc", "value": "2025-01-01T00:00:00.000000+00:00"},
                    "before": {"type": "fixed_utc", "value": "2025-06-15T12:00:00.000000+00:00"},
                },
            },
        ],
    }
    same = {"query": query, "sort": [{"direction": "asc", "field": FIELD}], "_fields": {"lead": FIELDS}, "_limit": 200}
    assert api.bodies == [{**same, "include_counts": True}, {**same, "cursor": "MjAw"}]


def test_a_first_sync_begins_at_the_start_date(requests_mock: requests_mock.Mocker) -> None:
    api = SearchApi(requests_mock, [])
    reading = read("leads", start_date="2024-06-01")
    assert [range_of(body) for body in api.bodies] == [
        ("2024-06-01T00:00:00.000000+00:00", "2025-06-15T12:00:00.000000+00:00")
    ]
    assert reading.states[-1] == {"date_updated": "2024-06-01T00:00:00.000000+00:00"}


def test_a_later_sync_reads_ten_minutes_again(requests_mock: requests_mock.Mocker) -> None:
    api = SearchApi(requests_mock, leads(3, timedelta(minutes=9)))
    reading = read("leads", {"date_updated": "2025-01-01T00:18:00Z"}, start_date="2024-06-01")
    assert range_of(api.bodies[0])[0] == "2025-01-01T00:08:00.000000+00:00"
    assert reading.ids == ["lead_000001", "lead_000002"]
    assert reading.states[-1] == {"date_updated": "2025-01-01T00:18:00.000000+00:00"}


def test_the_edges_of_the_window_to_the_millisecond(requests_mock: requests_mock.Mocker) -> None:
    start, end = datetime(2024, 6, 1, tzinfo=timezone.utc), datetime(2025, 6, 15, 12, tzinfo=timezone.utc)
    tick = timedelta(milliseconds=1)
    api = SearchApi(
        requests_mock,
        [lead(n, at) for n, at in enumerate([start - tick, start, start + tick, end - tick, end, end + tick])],
    )
    reading = read("leads", start_date="2024-06-01")
    assert reading.ids == ["lead_000001", "lead_000002", "lead_000003"]
    assert reading.states[-1] == {"date_updated": "2025-06-15T11:59:59.999000+00:00"}
    later = read("leads", reading.states[-1], now=end + timedelta(minutes=1), start_date="2024-06-01")
    assert later.ids == ["lead_000003", "lead_000004", "lead_000005"]
    assert len(api.bodies) == 2


def test_after_ten_thousand_rows_a_new_chain_goes_on_where_the_first_ended(
    requests_mock: requests_mock.Mocker,
) -> None:
    # Within one second, so that nothing can be shared: 14 or 15 leads on each millisecond.
    rows = [lead(number, START + timedelta(milliseconds=number * 999 // 14_000)) for number in range(14_000)]
    api = SearchApi(requests_mock, rows)
    reading = read("leads", start_date="2024-12-31")
    assert sorted(reading.ids) == ids(rows)
    # 70 pages hold the rows; the second chain repeats the last page of the first, and what ties with its first row.
    assert len(api.pages) == 72
    chains = [body for body in api.pages if "cursor" not in body]
    assert [range_of(body)[0] for body in chains] == [
        "2024-12-31T00:00:00.000000+00:00",
        rows[9_800]["date_updated"],
    ]


@pytest.mark.parametrize("total", [9_800, 9_999, 10_000, 10_001])
def test_lists_about_as_long_as_a_chain(requests_mock: requests_mock.Mocker, total: int) -> None:
    rows = [lead(number, START + timedelta(milliseconds=number * 999 // total)) for number in range(total)]
    api = SearchApi(requests_mock, rows)
    assert sorted(read("leads", start_date="2024-12-31").ids) == ids(rows)
    assert len(api.pages) <= 53


def test_an_expired_cursor_costs_the_page_since(requests_mock: requests_mock.Mocker) -> None:
    rows = leads(1_000, timedelta(minutes=1))
    api = SearchApi(requests_mock, rows)
    api.expire_at = {4}
    reading = read("leads", start_date="2024-12-31")
    assert sorted(reading.ids) == ids(rows)
    # Three pages, the expired one, one count, and from the last page on: 400, 600 and 800.
    assert [body.get("cursor", range_of(body)[0]) for body in api.pages] == [
        "2024-12-31T00:00:00.000000+00:00",
        "MjAw",
        "NDAw",
        "NjAw",
        rows[400]["date_updated"],
        "MjAw",
        "NDAw",
    ]
    assert len(api.counts) == 1


def test_a_cursor_that_expires_again_and_again_still_gets_on(requests_mock: requests_mock.Mocker) -> None:
    rows = leads(1_000, timedelta(minutes=1))
    api = SearchApi(requests_mock, rows)
    api.expire_at = set(range(3, 200, 2))
    assert sorted(read("leads", start_date="2024-12-31").ids) == ids(rows)
    assert len(api.bodies) < 60


def test_more_ties_than_a_chain_gives_out_come_by_their_creation(requests_mock: requests_mock.Mocker) -> None:
    tied = [lead(n, START, CREATED + timedelta(minutes=n)) for n in range(10_450)]
    rows = [*tied, *(lead(50_000 + n, START + timedelta(days=n - 10)) for n in (*range(9), 11))]
    api = SearchApi(requests_mock, rows)
    assert sorted(read("leads", start_date="2024-12-01").ids) == ids(rows)
    assert len(api.bodies) <= 170


def test_more_ties_in_both_dates_than_a_chain_gives_out_fail_the_stream(requests_mock: requests_mock.Mocker) -> None:
    SearchApi(requests_mock, [lead(n, START) for n in range(10_450)])
    with pytest.raises(CloseApiError, match=r"2024-01-01T00:00:00.*created and updated alike"):
        read("leads", start_date="2024-12-01")


def test_rows_newer_than_the_index_says_hide_none(requests_mock: requests_mock.Mocker) -> None:
    rows = [lead(number, START + timedelta(milliseconds=number * 999 // 14_000)) for number in range(14_000)]
    api = SearchApi(requests_mock, rows)
    edited = {row["id"] for row in rows[9_700:10_100:3]}
    api.shown = lambda row: {**row, **({"date_updated": "2025-06-15T11:59:59+00:00"} if row["id"] in edited else {})}
    assert sorted(read("leads", start_date="2024-12-31").ids) == ids(rows)


def test_a_page_of_nothing_but_newer_rows_hides_none(requests_mock: requests_mock.Mocker) -> None:
    rows = leads(1_000, timedelta(minutes=1))
    api = SearchApi(requests_mock, rows)
    api.expire_at = {4}
    edited = {row["id"] for row in rows[400:600]}
    api.shown = lambda row: {**row, **({"date_updated": "2025-06-15T11:59:59+00:00"} if row["id"] in edited else {})}
    assert sorted(read("leads", start_date="2024-12-31").ids) == ids(rows)
    assert len(api.bodies) <= 40


def test_rows_without_a_stamp_hide_none(requests_mock: requests_mock.Mocker) -> None:
    rows = leads(1_000, timedelta(minutes=1))
    api = SearchApi(requests_mock, rows)
    api.expire_at = {4}
    api.shown = lambda row: {**row, "date_updated": None}
    assert sorted(read("leads", start_date="2024-12-31").ids) == ids(rows)


def test_a_large_window_is_shared_by_counts(requests_mock: requests_mock.Mocker) -> None:
    rows = leads(8_000, timedelta(minutes=20))
    api = SearchApi(requests_mock, rows)
    reading = read("leads", start_date="2024-12-31")
    assert sorted(reading.ids) == ids(rows)
    windows = {range_of(body) for body in api.pages}
    assert len(windows) > 2
    assert len(api.counts) <= 0.1 * 40
    assert len(api.bodies) <= 1.25 * 40
    assert len(reading.states) >= 3


def test_a_small_window_is_not_counted(requests_mock: requests_mock.Mocker) -> None:
    api = SearchApi(requests_mock, leads(3_900, timedelta(minutes=20)))
    assert len(read("leads", start_date="2024-12-31").ids) == 3_900
    assert (len(api.pages), len(api.counts)) == (20, 0)


def test_twenty_three_thousand_leads_of_one_day_come_complete(requests_mock: requests_mock.Mocker) -> None:
    rows = [lead(n, START + timedelta(milliseconds=n * 86_400_000 // 23_000)) for n in range(23_000)]
    api = SearchApi(requests_mock, rows)
    reading = read("leads", start_date="2024-12-31")
    assert sorted(reading.ids) == ids(rows)
    assert len(api.bodies) <= 1.25 * 115


def test_a_record_as_it_is_emitted(requests_mock: requests_mock.Mocker) -> None:
    row = {**lead(1, START), "custom": {"Source": "Referral"}, "custom.cf_1": "Referral", "custom.cf_2": ["a", "b"]}
    SearchApi(requests_mock, [row])
    requests_mock.get(
        "https://api.close.com/api/v1/custom_field/lead/", json={"data": [{"id": "cf_1", "name": "Source"}]}
    )
    requests_mock.get("https://api.close.com/api/v1/custom_field/shared/", json={"data": []})
    (record,) = read("leads").records
    assert record["custom.cf_1"] == "Referral"
    assert "custom" not in record
    assert "__object_type" not in record
    assert [(entry["id"], entry["value"]) for entry in record["custom_fields"]] == [
        ("cf_1", "Referral"),
        ("cf_2", ["a", "b"]),
    ]

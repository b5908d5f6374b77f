"""Leads: the search request, windows, states and emitted records."""

from __future__ import annotations

import requests_mock

from unit_tests.search_api import SearchApi, ranges
from unit_tests.syncs import API, Row, read

FIELDS = [
    "id", "date_created", "date_updated", "organization_id", "created_by", "updated_by", "created_by_name",
    "updated_by_name", "name", "display_name", "status_id", "status_label", "contact_ids", "addresses", "contacts",
    "opportunities", "tasks", "contacts_summary", "description", "html_url", "integration_links", "localtime",
    "primary_address_full", "primary_address_summary", "primary_email", "primary_phone", "recent_calls", "source",
    "summaries", "url", "custom"
]  # fmt: skip


def lead(number: int | str, updated: str) -> Row:
    return {"id": f"lead_{number}", "date_created": "2024-01-01T00:00:00+00:00", "date_updated": updated}


def field(name: str) -> Row:
    return {"type": "regular_field", "object_type": "lead", "field_name": name}


def test_the_search_request_has_the_range_sort_fields_and_limit(api: requests_mock.Mocker) -> None:
    search = SearchApi(api, [lead(number, "2025-06-14T00:00:00+00:00") for number in range(250)])
    read("leads", state={"leads": {"date_updated": "2025-06-01T00:10:00Z"}})
    body = {
        "query": {
            "type": "and",
            "queries": [
                {"type": "object_type", "object_type": "lead"},
                {
                    "type": "field_condition",
                    "field": field("date_updated"),
                    "condition": {
                        "type": "moment_range",
                        "on_or_after": {"type": "fixed_utc", "value": "2025-06-01T00:00:00.000000+00:00"},
                        "before": {"type": "fixed_utc", "value": "2025-06-15T12:00:00.000000+00:00"},
                    },
                },
            ],
        },
        "sort": [
            {"direction": "asc", "field": field("date_updated")},
            {"direction": "asc", "field": field("date_created")},
        ],
        "_fields": {"lead": FIELDS},
        "_limit": 200,
    }
    assert search.bodies == [body, {**body, "cursor": "MjAw"}]
    assert {request.method for request in api.request_history} == {"POST"}


def test_a_first_sync_reads_windows_of_thirty_days_from_the_start_date(api: requests_mock.Mocker) -> None:
    search = SearchApi(api, [lead(1, "2025-06-10T00:00:00+00:00")])
    reading = read("leads", start_date="2025-05-01")
    assert [ranges(body)["date_updated"] for body in search.bodies] == [
        ("2025-05-01T00:00:00.000000+00:00", "2025-05-31T00:00:00.000000+00:00"),
        ("2025-05-31T00:00:00.000000+00:00", "2025-06-15T12:00:00.000000+00:00"),
    ]
    assert [state["date_updated"][:10] for state in reading.states()] == ["2025-05-01", "2025-06-10", "2025-06-10"]


def test_a_later_sync_reads_ten_minutes_again(api: requests_mock.Mocker) -> None:
    search = SearchApi(api, [lead(number, f"2025-06-15T{number}:00:00+00:00") for number in ("09", "10", "11")])
    reading = read("leads", state={"leads": {"date_updated": "2025-06-15T10:10:00Z"}})
    assert ranges(search.bodies[0])["date_updated"][0] == "2025-06-15T10:00:00.000000+00:00"
    assert reading.ids == ["lead_10", "lead_11"]
    assert reading.states()[-1] == {"date_updated": "2025-06-15T11:00:00.000000+00:00"}


def test_window_bounds_are_exact_to_the_millisecond(api: requests_mock.Mocker) -> None:
    moments = ["05-31T23:59:59.999", "06-01T00:00:00.000", "06-15T11:59:59.999", "06-15T12:00:00.000"]
    search = SearchApi(api, [lead(number, f"2025-{moment}+00:00") for number, moment in enumerate(moments)])
    reading = read("leads", start_date="2025-06-01")
    assert reading.ids == ["lead_1", "lead_2"]
    assert reading.states()[-1] == {"date_updated": "2025-06-15T11:59:59.999000+00:00"}
    later = read("leads", state={"leads": reading.states()[-1]}, now="2025-06-15T12:00:01+00:00")
    assert later.ids == ["lead_2", "lead_3"]
    assert len(search.bodies) == 2


def test_records_are_emitted_as_close_sends_them_except_for_custom_fields(api: requests_mock.Mocker) -> None:
    row = {**lead(1, "2025-06-14T00:00:00+00:00"), "contacts": [{"custom": {"b": 2}, "custom.cf_3": 1}], "url": None}
    SearchApi(api, [{**row, "custom": {"Source": "Web"}, "__object_type": "lead"}])
    assert read("leads", start_date="2025-06-01").records == [{**row, "custom_fields": []}]


def test_a_response_without_a_cursor_ends_the_window(api: requests_mock.Mocker) -> None:
    api.post(f"{API}/data/search/", json={"data": [lead(1, "2025-06-14T00:00:00+00:00")]})
    assert read("leads", start_date="2025-06-01").ids == ["lead_1"]
    assert api.call_count == 1


def test_a_lead_that_is_newer_than_in_the_index_does_not_move_the_cursor_past_unread_windows(
    api: requests_mock.Mocker,
) -> None:
    rows = [lead(1, "2025-05-05T00:00:00+00:00"), lead(2, "2025-06-10T00:00:00+00:00")]
    newer = {**rows[0], "date_updated": "2025-06-15T12:30:00+00:00"}
    SearchApi(api, rows).as_sent = lambda row: newer if row["id"] == "lead_1" else row
    reading = read("leads", start_date="2025-05-01")
    assert sorted(reading.ids) == ["lead_1", "lead_2"]
    assert [state["date_updated"][:10] for state in reading.states()] == ["2025-05-01", "2025-06-10", "2025-06-10"]

"""Leads: the search request, windows, states and emitted records."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
import requests_mock

from unit_tests.syncs import API, Row, read

SEARCH = f"{API}/data/search/"
FIELDS = [
    "id", "date_created", "date_updated", "organization_id", "created_by", "updated_by", "created_by_name",
    "updated_by_name", "name", "display_name", "status_id", "status_label", "contact_ids", "addresses", "contacts",
    "opportunities", "tasks", "contacts_summary", "description", "html_url", "integration_links", "localtime",
    "primary_address_full", "primary_address_summary", "primary_email", "primary_phone", "recent_calls", "source",
    "summaries", "url", "custom"
]  # fmt: skip


def lead(number: int, updated: str) -> Row:
    return {"id": f"lead_{number}", "date_created": "2024-01-01T00:00:00+00:00", "date_updated": updated}


def page(*rows: Row, cursor: str | None = None) -> Row:
    """Return a response to a search."""
    return {"json": {"data": rows, "cursor": cursor}}


def field(name: str) -> Row:
    return {"type": "regular_field", "object_type": "lead", "field_name": name}


def bodies(api: requests_mock.Mocker) -> list[Any]:
    return [orjson.loads(request.body) for request in api.request_history if request.path.endswith("/data/search/")]


def ranges(api: requests_mock.Mocker) -> list[tuple[str, str]]:
    """Return the range of ``date_updated`` in each search, without the parts of seconds."""
    found = [body["query"]["queries"][1]["condition"] for body in bodies(api)]
    return [(one["on_or_after"]["value"][:19], one["before"]["value"][:19]) for one in found]


def test_the_search_request_has_the_range_sort_fields_and_limit(api: requests_mock.Mocker) -> None:
    rows = [lead(number, "2025-06-14T00:00:00+00:00") for number in range(250)]
    api.post(SEARCH, [page(*rows[:200], cursor="next"), page(*rows[200:])])
    reading = read("leads", state={"leads": {"date_updated": "2025-06-01T00:10:00Z"}})
    assert len(reading.ids) == 250
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
    assert bodies(api) == [body, {**body, "cursor": "next"}]


def test_a_first_sync_reads_windows_of_thirty_days_from_the_start_date(api: requests_mock.Mocker) -> None:
    api.post(SEARCH, [page(), page(lead(1, "2025-06-10T00:00:00+00:00"))])
    reading = read("leads", start_date="2025-05-01")
    assert ranges(api) == [
        ("2025-05-01T00:00:00", "2025-05-31T00:00:00"),
        ("2025-05-31T00:00:00", "2025-06-15T12:00:00"),
    ]
    assert [state["date_updated"][:10] for state in reading.states()] == ["2025-05-01", "2025-06-10", "2025-06-10"]


def test_a_later_sync_reads_ten_minutes_again(api: requests_mock.Mocker) -> None:
    api.post(SEARCH, **page(lead(1, "2025-06-15T10:00:00+00:00"), lead(2, "2025-06-15T11:00:00+00:00")))
    reading = read("leads", state={"leads": {"date_updated": "2025-06-15T10:10:00Z"}})
    assert ranges(api) == [("2025-06-15T10:00:00", "2025-06-15T12:00:00")]
    assert reading.ids == ["lead_1", "lead_2"]
    assert reading.states()[-1] == {"date_updated": "2025-06-15T11:00:00.000000+00:00"}


def test_an_expired_cursor_repeats_only_the_previous_page(api: requests_mock.Mocker) -> None:
    rows = [lead(number, f"2025-06-02T{number // 60:02}:{number % 60:02}:00+00:00") for number in range(1_000)]
    pages = [page(*rows[first : first + 200], cursor=f"after {first + 200}") for first in range(0, 1_000, 200)]
    pages[-1] = page(*rows[800:])
    expired = {"status_code": 400, "json": {"errors": [], "field-errors": {"cursor": "Expired cursor"}}}
    count: Row = {"json": {"data": [], "cursor": None, "count": {"limited": 400, "total": 400}}}
    api.post(SEARCH, [*pages[:3], expired, count, *pages[2:]])
    assert sorted(read("leads", start_date="2025-06-01").ids) == sorted(row["id"] for row in rows)
    # A count proves that the rows before the last page were all read; the new search starts with that page.
    at = "2025-06-02T06:40:00"
    end = "2025-06-15T12:00:00"
    assert ranges(api) == [("2025-06-01T00:00:00", end)] * 4 + [("2025-06-01T00:00:00", at)] + [(at, end)] * 3
    assert [body.get("results_limit") for body in bodies(api)] == [None] * 4 + [0] + [None] * 3


def test_only_a_400_says_that_a_cursor_has_expired(api: requests_mock.Mocker) -> None:
    rows = [lead(number, "2025-06-02T00:00:00+00:00") for number in range(250)]
    trouble = {"status_code": 503, "json": {"error": "The store of cursors is down"}}
    api.post(SEARCH, [page(*rows[:200], cursor="next"), trouble, page(*rows[200:])])
    assert read("leads", start_date="2025-06-01").ids == [row["id"] for row in rows]
    assert [body.get("cursor") for body in bodies(api)] == [None, "next", "next"]


def test_records_are_emitted_as_close_sends_them_except_for_custom_fields(api: requests_mock.Mocker) -> None:
    row = {**lead(1, "2025-06-14T00:00:00+00:00"), "contacts": [{"custom": {"b": 2}, "custom.cf_3": 1}], "url": None}
    api.post(SEARCH, **page({**row, "custom": {"Source": "Web"}, "__object_type": "lead"}))
    listed = [{"id": None, "name": "Source", "value": "Web"}]  # the account has no field of this name
    assert read("leads", start_date="2025-06-01").records == [{**row, "custom_fields": listed}]


@pytest.mark.parametrize("more", [{}, {"cursor": ""}])
def test_a_response_without_a_cursor_ends_the_window(api: requests_mock.Mocker, more: Row) -> None:
    api.post(SEARCH, json={"data": [lead(1, "2025-06-14T00:00:00+00:00")], **more})
    assert read("leads", start_date="2025-06-01").ids == ["lead_1"]
    assert len(bodies(api)) == 1


def test_a_lead_that_is_newer_than_in_the_index_does_not_move_the_cursor_past_unread_windows(
    api: requests_mock.Mocker,
) -> None:
    newer = lead(1, "2025-06-15T12:30:00+00:00")
    api.post(SEARCH, [page(newer), page(lead(2, "2025-06-10T00:00:00+00:00"))])
    reading = read("leads", start_date="2025-05-01")
    assert reading.ids == ["lead_1", "lead_2"]
    assert [state["date_updated"][:10] for state in reading.states()] == ["2025-05-01", "2025-06-10", "2025-06-10"]

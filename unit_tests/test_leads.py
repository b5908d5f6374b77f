"""Leads: the search request, windows, states and emitted records."""

from typing import Any

import orjson
import pytest
from requests_mock import Mocker

from unit_tests.syncs import API, Log, Row, read, warnings

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


def bodies(api: Mocker) -> list[Any]:
    return [orjson.loads(request.body) for request in api.request_history if request.path.endswith("/data/search/")]


def ranges(api: Mocker) -> list[tuple[str, str]]:
    """Return the range of ``date_updated`` in each search, without the parts of seconds."""
    found = [body["query"]["queries"][1]["condition"] for body in bodies(api)]
    return [(one["on_or_after"]["value"][:19], one["before"]["value"][:19]) for one in found]


def starts(api: Mocker) -> list[tuple[str, str | None]]:
    """Return the time of day at which each search begins, and its cursor."""
    return [(start[11:], body.get("cursor")) for (start, _), body in zip(ranges(api), bodies(api), strict=True)]


def leads_by_minute(count: int) -> list[Row]:
    return [lead(number, f"2025-06-02T{number // 60:02}:{number % 60:02}:00+00:00") for number in range(count)]


def leads_of_one_moment(count: int) -> list[Row]:
    return [lead(number, "2025-06-02T05:00:00+00:00") for number in range(count)]


EXPIRED: Row = {"status_code": 400, "json": {"errors": [], "field-errors": {"cursor": "Expired cursor"}}}


def test_the_search_request_has_the_range_sort_fields_and_limit(api: Mocker) -> None:
    api.post(SEARCH, **page(lead(1, "2025-06-14T00:00:00+00:00")))
    assert read("leads", state={"leads": {"date_updated": "2025-06-01T00:10:00Z"}}).ids == ["lead_1"]
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
    assert bodies(api) == [body]


def test_a_first_sync_reads_windows_of_thirty_days_from_the_start_date(api: Mocker) -> None:
    api.post(SEARCH, [page(), page(lead(1, "2025-06-10T00:00:00+00:00"))])
    reading = read("leads", start_date="2025-05-01")
    assert ranges(api) == [
        ("2025-05-01T00:00:00", "2025-05-31T00:00:00"),
        ("2025-05-31T00:00:00", "2025-06-15T12:00:00"),
    ]
    assert [state["date_updated"][:10] for state in reading.states()] == ["2025-05-01", "2025-06-10", "2025-06-10"]


def test_a_lead_that_is_twice_on_a_page_is_emitted_once(api: Mocker) -> None:
    api.post(SEARCH, **page(lead(1, "2025-06-02T00:00:00Z"), lead(1, "2025-06-02T00:00:00Z")))
    assert read("leads", start_date="2025-06-02").ids == ["lead_1"]


def test_each_page_is_a_search_that_begins_with_the_last_leads_of_the_page_before(api: Mocker) -> None:
    """With the oldest of the last twenty: a single one may be newer than in the index."""
    rows = leads_by_minute(500)
    api.post(SEARCH, [page(*rows[:200], cursor="a"), page(*rows[180:380], cursor="b"), page(*rows[360:])])
    assert read("leads", start_date="2025-06-02").ids == [row["id"] for row in rows]
    assert starts(api) == [("00:00:00", None), ("03:00:00", None), ("06:00:00", None)]
    assert {end for _, end in ranges(api)} == {"2025-06-15T12:00:00"}


def test_a_search_that_begins_with_an_unknown_lead_is_made_from_an_earlier_moment(api: Mocker) -> None:
    """The last leads of the first page were edited, or the index sorts them by older dates."""
    rows = leads_by_minute(300)
    remaining = rows[:180] + rows[200:]
    api.post(SEARCH, [page(*rows[:200], cursor="a"), page(*rows[200:]), page(*remaining[90:])])
    assert read("leads", start_date="2025-06-02").ids == [row["id"] for row in rows]
    assert starts(api) == [("00:00:00", None), ("03:00:00", None), ("01:30:00", None)]


def test_a_lead_that_the_index_moves_to_its_place_meanwhile_hides_none(api: Mocker) -> None:
    """It comes first in a search from its date, which does not prove that all leads before were read."""
    rows = leads_by_minute(300)
    moved = {**rows[190], "date_updated": "2025-06-15T11:55:00+00:00"}
    api.post(SEARCH, [page(*rows[:190], moved, *rows[191:200], cursor="a"), page(*rows[179:190], *rows[191:], moved)])
    assert sorted(read("leads", start_date="2025-06-02").ids) == sorted(row["id"] for row in rows)
    assert starts(api) == [("00:00:00", None), ("02:59:00", None)]


@pytest.mark.parametrize("moved", [1, 299], ids=["one lead", "all leads"])
def test_leads_that_are_not_sorted_are_read_by_cursor(api: Mocker, moved: int) -> None:
    """A search that begins at one of them would skip those that have earlier dates and are on later pages."""
    rows = leads_by_minute(300)
    rows = rows[: -moved - 1 : -1] + rows[:-moved]
    pages = [page(*rows[:200], cursor="a"), page(*rows[200:])]
    later = [page(*rows[189:])] if moved == 1 else []
    api.post(SEARCH, [*pages, *later, *pages, *later])
    assert read("leads", start_date="2025-06-02").ids == [row["id"] for row in rows]
    assert starts(api)[:2] == [("00:00:00", None), ("00:00:00", "a")]


def test_leads_of_one_moment_are_read_by_cursor_until_a_search_returns_no_new_lead(api: Mocker) -> None:
    rows = leads_of_one_moment(500)
    pages = [page(*rows[:200], cursor="a"), page(*rows[200:400], cursor="b"), page(*rows[400:])]
    api.post(SEARCH, [pages[0], *pages, *pages])
    assert read("leads", start_date="2025-06-02").ids == [row["id"] for row in rows]
    search = [("05:00:00", None), ("05:00:00", "a"), ("05:00:00", "b")]
    assert starts(api) == [("00:00:00", None), *search, *search]


def test_leads_of_the_last_ten_minutes_are_read_by_cursor(api: Mocker) -> None:
    """The search index may not have the edits of these, and sort the leads by an older date."""
    old = leads_by_minute(100)
    recent = [lead(number, f"2025-06-15T11:{50 + number // 60}:{number % 60:02}+00:00") for number in range(100, 400)]
    rows = old + recent
    pages = [page(*rows[80:280], cursor="b"), page(*rows[280:])]
    api.post(SEARCH, [page(*rows[:200], cursor="a"), *pages, *pages])
    assert read("leads", start_date="2025-06-02").ids == [row["id"] for row in rows]
    search = [("01:20:00", None), ("01:20:00", "b")]
    assert starts(api) == [("00:00:00", None), *search, *search]


def test_a_lead_that_is_edited_between_two_cursors_hides_no_other(api: Mocker) -> None:
    """Cursors may count positions: the edited lead leaves the window, and all others move forward."""
    rows = leads_of_one_moment(300)
    remaining = rows[:4] + rows[5:]
    first = page(*rows[:200], cursor="a")
    pages = [page(*remaining[:200], cursor="a"), page(*remaining[200:])]
    api.post(SEARCH, [first, first, *pages[1:], *pages, *pages])
    assert sorted(read("leads", start_date="2025-06-02").ids) == sorted(row["id"] for row in rows)
    assert [cursor for _, cursor in starts(api)] == [None, None, "a", None, "a", None, "a"]


def test_a_search_is_left_for_a_later_moment_only_if_it_is_confirmed(api: Mocker) -> None:
    rows = leads_of_one_moment(250)
    later = [lead(number, f"2025-06-02T06:{number - 250:02}:00+00:00") for number in range(250, 300)]
    pages = [page(*rows[:200], cursor="a"), page(*rows[200:], *later[:30], cursor="b")]
    api.post(SEARCH, [pages[0], *pages, page(*later[20:]), *pages, page(*later[20:])])
    assert read("leads", start_date="2025-06-02").ids == [row["id"] for row in rows + later]
    search = [("05:00:00", None), ("05:00:00", "a"), ("06:22:00", None)]
    assert starts(api) == [("00:00:00", None), *search, *search]


def test_an_expired_cursor_repeats_the_search(api: Mocker) -> None:
    rows = leads_of_one_moment(300)
    first, rest = page(*rows[:200], cursor="a"), page(*rows[200:])
    api.post(SEARCH, [first, first, EXPIRED, first, rest, first, rest])
    assert read("leads", start_date="2025-06-02").ids == [row["id"] for row in rows]
    assert [cursor for _, cursor in starts(api)] == [None, None, "a", None, "a", None, "a"]


def test_a_search_that_returns_a_lead_twice_is_repeated_as_it_may_skip_another(api: Mocker) -> None:
    """Leads of one moment may change places between two pages, and a second search may do the same."""
    rows = leads_of_one_moment(250)
    first, rest = page(*rows[:200], cursor="a"), page(*rows[200:])
    incomplete = [first, page(*rows[190:240])]
    api.post(SEARCH, [first, *incomplete * 5, first, rest, first, rest])
    assert read("leads", start_date="2025-06-02").ids == [row["id"] for row in rows]
    assert starts(api)[1:] == [("05:00:00", None), ("05:00:00", "a")] * 7


def test_a_search_that_repeats_leads_is_not_left_for_a_later_moment(api: Mocker) -> None:
    rows = leads_of_one_moment(250)
    later = [lead(number, "2025-06-02T06:00:00+00:00") for number in range(250, 260)]
    first, rest = page(*rows[:200], cursor="a"), page(*rows[200:], *later, cursor="b")
    incomplete = [first, page(*rows[190:240], *later, cursor="b"), page(*later)]
    complete = [first, rest, page(*later)]
    api.post(SEARCH, [first, *incomplete * 5, *complete * 2])
    assert sorted(read("leads", start_date="2025-06-02").ids) == sorted(row["id"] for row in rows + later)
    assert starts(api)[1:] == [("05:00:00", None), ("05:00:00", "a"), ("06:00:00", None)] * 7


@pytest.mark.parametrize("count", [200, 250])
def test_leads_that_never_keep_their_places_do_not_fail_the_stream(api: Mocker, count: int) -> None:
    """A full page without a cursor may be cut short, and leads of one moment may always be returned twice."""
    rows = leads_of_one_moment(count)
    more = [page(*rows[:200], cursor="a"), page(*rows[199:])] if count > 200 else [page(*rows)]
    api.post(SEARCH, [page(*rows[:200], cursor="a"), *more * 7])
    reading = read("leads", start_date="2025-06-02")
    assert reading.ids == [row["id"] for row in rows]
    assert reading.statuses == {"leads": "COMPLETE"}
    assert len(bodies(api)) == 1 + 6 * len(more)


def test_a_lead_that_is_edited_again_meanwhile_counts_as_no_repetition(api: Mocker) -> None:
    rows = [lead(number, f"2025-06-15T11:5{number // 60}:{number % 60:02}+00:00") for number in range(250)]
    again = {**rows[3], "date_updated": "2025-06-15T11:59:59+00:00"}
    pages = [page(*rows[:200], cursor="a"), page(*rows[200:], again)]
    api.post(SEARCH, [*pages, *pages])
    assert read("leads", start_date="2025-06-02").ids == [row["id"] for row in rows]
    assert len(bodies(api)) == 4


def test_a_cursor_that_always_expires_fails_the_stream_after_five_more_searches(api: Mocker) -> None:
    first = page(*leads_of_one_moment(200), cursor="a")
    api.post(SEARCH, [first, *[first, EXPIRED] * 6])
    [(stream, _, message)] = read("leads", start_date="2025-06-02").failures
    assert stream == "leads"
    assert "does not get past the moment 2025-06-02T05:00:00.000000+00:00" in message
    assert len(bodies(api)) == 13


def test_only_a_400_says_that_a_cursor_has_expired(api: Mocker) -> None:
    rows = leads_of_one_moment(250)
    first = page(*rows[:200], cursor="next")
    trouble = {"status_code": 503, "json": {"error": "The store of cursors is down"}}
    rest = page(*rows[200:])
    api.post(SEARCH, [first, first, trouble, rest, first, rest])
    assert read("leads", start_date="2025-06-02").ids == [row["id"] for row in rows]
    assert [body.get("cursor") for body in bodies(api)] == [None, None, "next", "next", None, "next"]


def test_records_are_emitted_as_close_sends_them_except_for_custom_fields(api: Mocker, log: Log) -> None:
    """Values by name beside values by id stay as they are."""
    row = {**lead(1, "2025-06-14T00:00:00+00:00"), "contacts": [{"custom": {"b": 2}, "custom.cf_3": 1}], "url": None}
    api.post(SEARCH, **page({**row, "__object_type": "lead"}))
    assert read("leads", start_date="2025-06-01").records == [{**row, "custom_fields": []}]
    assert warnings(log) == []


@pytest.mark.parametrize("more", [{}, {"cursor": ""}])
def test_a_response_without_a_cursor_ends_the_window(api: Mocker, more: Row) -> None:
    api.post(SEARCH, json={"data": [lead(1, "2025-06-14T00:00:00+00:00")], **more})
    assert read("leads", start_date="2025-06-01").ids == ["lead_1"]
    assert len(bodies(api)) == 1


@pytest.mark.parametrize("more", [{}, {"cursor": None}])
def test_a_full_page_without_a_cursor_does_not_end_the_window(api: Mocker, more: Row) -> None:
    rows = leads_by_minute(250)
    api.post(SEARCH, [{"json": {"data": rows[:200], **more}}, {"json": {"data": rows[180:]}}])
    assert read("leads", start_date="2025-06-02").ids == [row["id"] for row in rows]


def test_a_lead_that_is_newer_than_in_the_index_does_not_move_the_cursor_past_unread_windows(api: Mocker) -> None:
    newer = lead(1, "2025-06-15T12:30:00+00:00")
    api.post(SEARCH, [page(newer), page(lead(2, "2025-06-10T00:00:00+00:00"))])
    reading = read("leads", start_date="2025-05-01")
    assert reading.ids == ["lead_1", "lead_2"]
    assert [state["date_updated"][:10] for state in reading.states()] == ["2025-05-01", "2025-06-10", "2025-06-10"]

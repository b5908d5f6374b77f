"""Leads: the search request, windows, states and emitted records."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache
from itertools import chain, repeat
from typing import Any

import orjson
import pytest
from requests_mock import Mocker

from source_close.dates import parse_moment
from unit_tests.syncs import API, Log, Reading, Row, leads, manifest_of, read, read_with_positions, requested, warnings

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


def bodies(api: Mocker, path: str = "/data/search/") -> list[Any]:
    return [orjson.loads(request.body) for request in api.request_history if request.path.endswith(path)]


def reads_by_ids(api: Mocker) -> list[Any]:
    return [body["_params"] for body in bodies(api, "/v1/lead/")]


def range_of(body: Any) -> tuple[str, str]:
    """Return the range of ``date_updated`` in a search."""
    condition = body["query"]["queries"][1]["condition"]
    return condition["on_or_after"]["value"], condition["before"]["value"]


def ranges(api: Mocker) -> list[tuple[str, str]]:
    """Return the range of each search, without the parts of seconds."""
    found = [range_of(body) for body in bodies(api)]
    return [(start[:19], end[:19]) for start, end in found]


def starts_and_cursors(api: Mocker) -> list[tuple[str, str | None]]:
    """Return the time of day at which each search begins, and its cursor."""
    times = [start[11:] for start, _ in ranges(api)]
    cursors = [body.get("cursor") for body in bodies(api)]
    return list(zip(times, cursors, strict=True))


def ids(rows: list[Row]) -> list[str]:
    return [row["id"] for row in rows]


def read_leads(api: Mocker, *responses: Row) -> list[str]:
    """Return the ids of the leads since 2025-06-02 that are read if the searches get these responses."""
    leads(api, *responses)
    return read("leads", start_date="2025-06-02").ids


def leads_since(start: str, count: int, seconds: float, first: int = 0) -> list[Row]:
    """Return leads that were edited one after the other, with so many seconds between them."""
    moments = [parse_moment(start) + timedelta(seconds=number * seconds) for number in range(count)]
    return [lead(number, moment.isoformat(timespec="microseconds")) for number, moment in enumerate(moments, first)]


def leads_by_minute(count: int) -> list[Row]:
    return leads_since("2025-06-02T00:00:00Z", count, 60)


moment_of = cache(parse_moment)  # an index compares the dates of all its rows at each request


class Index:
    """The index of the search: the rows in its order, which may change after a request.

    ``shown`` is the date that it shows of a date, ``bound`` the moment for which it takes a bound, and
    ``always_has_cursor`` whether it has a cursor on the last page, too.
    """

    def __init__(
        self,
        rows: list[Row],
        *,
        shown: Callable[[str], str] = str,
        bound: Callable[[str], datetime] = parse_moment,
        always_has_cursor: bool = False,
        page_size: int = 200,
    ) -> None:
        self.rows = rows
        self.shown = shown
        self.bound = bound
        self.always_has_cursor = always_has_cursor
        self.page_size = page_size

    def __call__(self, request: Any, _: Any) -> Row:
        """Return a page of the rows in the range of the request; cursors count positions."""
        start, end = map(self.bound, range_of(request.json()))
        found = [row for row in self.rows if start <= moment_of(row["date_updated"]) < end]
        return self.page(found, request)

    def page(self, found: list[Row], request: Any) -> Row:
        """Return the page of these rows to which the cursor of the request leads."""
        first = int(request.json().get("cursor") or 0)
        end = first + self.page_size
        rows = [{**row, "date_updated": self.shown(row["date_updated"])} for row in found[first:end]]
        is_followed = end < len(found)
        has_cursor = is_followed or (self.always_has_cursor and rows)
        return {"data": rows, "cursor": str(end) if has_cursor else None}


def read_index(api: Mocker, search: Callable[[Any, Any], Row], rows: list[Row]) -> Reading:
    """Read the leads since 2025-06-02. ``search`` responds to each search, and a read by ids finds these rows."""
    leads(api, by_ids=rows)
    api.post(f"{API}/data/search/", json=search)
    return read("leads", start_date="2025-06-02")


EXPIRED: Row = {"status_code": 400, "json": {"errors": [], "field-errors": {"cursor": "Expired cursor"}}}


def test_a_search_has_the_range_sort_and_limit_and_its_leads_are_read_by_ids(api: Mocker) -> None:
    found = [lead(number, "2025-06-14T00:00:00+00:00") for number in (1, 2)]
    leads(api, page(*found))
    assert read("leads", state={"leads": {"date_updated": "2025-06-01T00:10:00Z"}}).ids == ["lead_1", "lead_2"]
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
        "_fields": {"lead": ["id", "date_updated"]},
        "_limit": 200,
    }
    assert bodies(api) == [body]
    by_ids = {"id__in": "lead_1,lead_2", "_fields": ",".join(FIELDS), "_limit": 200}
    assert bodies(api, "/v1/lead/") == [{"_params": by_ids}]


def test_a_lead_is_emitted_as_it_is_read_by_its_id_and_not_if_it_was_deleted_after_the_search(api: Mocker) -> None:
    searched = [{**lead(number, "2025-06-14T00:00:00+00:00"), "name": "Old"} for number in (1, 2)]
    edited = {**searched[0], "date_updated": "2025-06-15T12:00:01+00:00", "name": "New"}
    leads(api, page(*searched), by_ids=[edited])
    reading = read("leads", state={"leads": {"date_updated": "2025-06-01T00:10:00Z"}})
    assert reading.records == [{**edited, "custom_fields": []}]
    # The edit belongs to the next sync.
    assert reading.states()[-1]["date_updated"] == "2025-06-01T00:10:00.000000+00:00"
    # What a response lacks is requested once more.
    assert [params["id__in"] for params in reads_by_ids(api)] == ["lead_1,lead_2", "lead_2"]


def test_a_lead_that_a_read_by_ids_lacks_is_requested_singly(api: Mocker) -> None:
    """An index may lag or lack a part, and an empty response does not prove that leads were deleted."""
    rows = leads_by_minute(3)
    leads(api, page(*rows), by_ids=[])
    api.get(f"{API}/lead/lead_1/", json={**rows[1], "url": None})
    api.get(f"{API}/lead/lead_2/", json={"id": "lead_it_was_merged_into"})
    assert read("leads", start_date="2025-06-02").records == [{**rows[1], "custom_fields": []}]
    single = [url.partition("?")[0] for url in requested(api, "/lead/lead_")]
    assert single == ["/lead/lead_0/", "/lead/lead_1/", "/lead/lead_2/"]


def test_reads_by_ids_that_find_no_lead_are_no_list_that_repeats_itself(api: Mocker) -> None:
    windows = [page(lead(month, f"2025-0{month}-10T00:00:00+00:00")) for month in range(1, 7)]
    leads(api, *windows, by_ids=[])
    assert read("leads", start_date="2025-01-01").statuses == {"leads": "COMPLETE"}


@pytest.mark.parametrize("refusal", [400, 413, 414, 422])
def test_half_as_many_ids_are_requested_after_close_has_refused_200(api: Mocker, refusal: int) -> None:
    rows = leads_by_minute(200)
    leads(api, page(*rows, cursor="a"), page(*rows[180:]))
    found = {row["id"]: row for row in rows}

    def refuse(request: Any, context: Any) -> Row:
        wanted = request.json()["_params"]["id__in"].split(",")
        if len(wanted) > 100:
            context.status_code = refusal
            return {"error": "Too many ids"}
        return {"data": [found[one] for one in wanted]}

    api.post(f"{API}/lead/", json=refuse)
    assert read("leads", start_date="2025-06-02").ids == ids(rows)
    assert [params["_limit"] for params in reads_by_ids(api)] == [200, 100, 100]


@pytest.mark.parametrize("refusal", [400, 413, 414, 422])
def test_a_refusal_of_a_single_id_fails_the_stream(api: Mocker, refusal: int) -> None:
    rows = leads_by_minute(200)
    leads(api, page(*rows, cursor="a"), page(*rows[180:]))
    api.post(f"{API}/lead/", status_code=refusal, json={"error": "No"})
    [failure] = read("leads", start_date="2025-06-02").failures
    assert failure.kind == "system_error"
    text = f'POST /api/v1/lead/ with a single id answered {refusal}: «{{"error": "No"}}». Please report this message.'
    assert text in failure.message
    assert [params["_limit"] for params in reads_by_ids(api)] == [200, 100, 50, 25, 12, 6, 3, 1]


def test_half_the_limit_is_requested_after_close_has_refused_200_also_for_a_single_lead(api: Mocker) -> None:
    rows = leads_by_minute(1)
    leads(api, page(*rows))
    api.post(f"{API}/lead/", [{"status_code": 400, "json": {"error": "_limit"}}, {"json": {"data": rows}}])
    assert read("leads", start_date="2025-06-02").ids == ["lead_0"]
    assert [params["_limit"] for params in reads_by_ids(api)] == [200, 100]


def test_leads_into_which_others_were_merged_do_not_take_the_place_of_leads(api: Mocker) -> None:
    rows = leads_by_minute(8)
    leads(api, page(*rows))
    # The last lead exists, and each other one was merged into another.
    found = {row["id"]: {"id": f"into_{row['id']}"} for row in rows}
    found["lead_7"] = rows[7]

    def answer(request: Any, context: Any) -> Row:
        wanted = request.json()["_params"]["id__in"].split(",")
        page_of_two = [found[one] for one in wanted[:2]]
        return {"data": page_of_two, "has_more": len(wanted) > 2}

    api.post(f"{API}/lead/", json=answer)
    api.get(re.compile(f"{API}/lead/lead_"), status_code=404, json={"error": "Not found"})
    assert read("leads", start_date="2025-06-02").ids == ["lead_7"]
    asked = [len(params["id__in"].split(",")) for params in reads_by_ids(api)]
    assert asked == [8, 4, 2, 2, 2, 2, 1]


def test_a_list_of_other_leads_fails_the_stream(api: Mocker) -> None:
    """As if Close ignored the ids, in an order that changes."""
    leads(api, page(*leads_by_minute(2)))
    others = [{"json": {"data": [{"id": f"other_{number}"}], "has_more": True}} for number in range(9)]
    api.post(f"{API}/lead/", others)
    [failure] = read("leads", start_date="2025-06-02").failures
    assert "POST /api/v1/lead/ with a single id returned a page without that record" in failure.message


def test_leads_of_one_second_may_be_in_another_order_than_their_dates(api: Mocker) -> None:
    """A search that sorts by whole seconds and filters exactly would not show those before the last row again."""
    first_second = leads_since("2025-06-10T00:00:00.500Z", 100, 0.001)
    next_second = leads_since("2025-06-10T00:00:01.500Z", 100, 0.001, first=100)
    late = lead(200, "2025-06-10T00:00:01.100000+00:00")
    leads(api, page(*first_second, *next_second, cursor="next"), page(*next_second, late))
    assert read("leads", start_date="2025-06-02").ids == ids([*first_second, *next_second, late])
    start, _ = range_of(bodies(api)[1])
    assert start == "2025-06-10T00:00:01.000000+00:00"


def test_an_edit_that_the_search_does_not_show_moves_no_state(api: Mocker) -> None:
    """The search index may be late by more than the lookback, and show other leads only later."""
    searched = [lead(1, "2025-06-11T00:00:00+00:00"), lead(2, "2025-06-12T00:00:00+00:00")]
    edited = {**searched[1], "date_updated": "2025-06-15T11:59:00+00:00"}
    leads(api, page(*searched), by_ids=[searched[0], edited])
    reading = read("leads", start_date="2025-06-02")
    assert reading.ids == ["lead_1", "lead_2"]
    assert reading.states()[-1]["date_updated"] == "2025-06-11T00:00:00.000000+00:00"


@pytest.mark.parametrize("first", [[], [lead(2, "2025-06-15T12:30:00+00:00")]], ids=["none", "newer than in the index"])
def test_windows_have_15_days_and_no_lead_moves_the_state_past_an_unread_one(api: Mocker, first: list[Row]) -> None:
    leads(api, page(*first), page(lead(1, "2025-06-10T00:00:00+00:00")))
    reading = read("leads", start_date="2025-05-17")
    assert reading.ids == [*ids(first), "lead_1"]
    assert ranges(api) == [
        ("2025-05-17T00:00:00", "2025-06-01T00:00:00"),
        ("2025-06-01T00:00:00", "2025-06-15T12:00:00"),
    ]
    assert [state["date_updated"][:10] for state in reading.states()] == ["2025-05-17", "2025-06-10", "2025-06-10"]


def test_each_page_is_a_search_that_begins_with_the_last_leads_of_the_page_before(api: Mocker) -> None:
    """With the oldest of the last twenty: a single one may be newer than in the index."""
    rows = leads_by_minute(500)
    responses = [page(*rows[:200], cursor="a"), page(*rows[180:380], cursor="b"), page(*rows[360:])]
    assert read_leads(api, *responses) == ids(rows)
    assert starts_and_cursors(api) == [("00:00:00", None), ("03:00:00", None), ("06:00:00", None)]
    assert {end for _, end in ranges(api)} == {"2025-06-15T12:00:00"}


def test_before_a_search_that_begins_with_an_unknown_lead_the_time_before_it_is_searched(api: Mocker) -> None:
    """It may skip leads, although known ones follow: the last leads before it were edited, or have older dates."""
    rows = leads_by_minute(300)
    unknown = lead(300, rows[180]["date_updated"])
    later = [unknown, *rows[180:]]
    found = read_leads(api, page(*rows[:200], cursor="a"), page(*later, cursor="b"), page(*rows[:180]), page(*later))
    assert sorted(found) == sorted(ids([*rows, unknown]))
    assert starts_and_cursors(api) == [("00:00:00", None), ("03:00:00", None), ("00:00:00", None), ("03:00:00", None)]
    assert ranges(api)[2] == ("2025-06-02T00:00:00", "2025-06-02T03:00:00")


def test_a_lead_that_the_index_moves_to_its_place_meanwhile_hides_none(api: Mocker) -> None:
    """It comes first in a search from its date, which does not prove that all leads before were read."""
    rows = leads_by_minute(300)
    moved = {**rows[190], "date_updated": "2025-06-15T11:55:00+00:00"}
    before_the_move = page(*rows[:190], moved, *rows[191:200], cursor="a")
    after_the_move = page(*rows[179:190], *rows[191:], moved)
    assert sorted(read_leads(api, before_the_move, after_the_move)) == sorted(ids(rows))
    assert starts_and_cursors(api) == [("00:00:00", None), ("02:59:00", None)]


@pytest.mark.parametrize("moved", [1, 299], ids=["one lead", "all leads"])
def test_the_time_of_leads_that_are_not_sorted_is_split(api: Mocker, moved: int) -> None:
    """A search that begins at one of them would skip those that have earlier dates and are on later pages."""
    oldest_first = leads_by_minute(300)
    newest_first = reversed(oldest_first[-moved:])
    rows = [*newest_first, *oldest_first[:-moved]]
    assert sorted(read_index(api, Index(rows), rows).ids) == sorted(ids(rows))
    assert len(bodies(api)) <= 5


@pytest.mark.parametrize("count", [600, 12_000], ids=["some", "more than a chain of cursors has"])
def test_any_number_of_leads_that_are_not_sorted_is_read(api: Mocker, count: int) -> None:
    rows = []
    for number in range(count):
        day = 2 + number % 12
        hour = number % 24
        minute = number // 1000
        rows.append(lead(number, f"2025-06-{day:02}T{hour:02}:{minute:02}:00Z"))
    assert sorted(read_index(api, Index(rows), rows).ids) == sorted(ids(rows))
    assert len(bodies(api)) <= count / 40


def test_the_time_of_the_leads_of_the_last_ten_minutes_is_split(api: Mocker) -> None:
    """The search index may not have the edits of these, and sort the leads by an older date."""
    rows = leads_by_minute(100) + leads_since("2025-06-15T11:51:40Z", 300, 1, first=100)
    assert read_index(api, Index(rows), rows).ids == ids(rows)
    assert [(start[11:], end[11:]) for start, end in ranges(api)] == [
        ("00:00:00", "12:00:00"),
        ("00:00:00", "11:53:19"),
        ("11:53:19", "12:00:00"),
        ("11:53:19", "11:56:38"),
        ("11:56:38", "12:00:00"),
    ]


SECOND = leads_since("2025-06-10T00:00:00Z", 300, 0.003)
RECENT = leads_since("2025-06-15T11:51:00Z", 300, 0.001, first=2)
OLDER = [lead(0, "2025-06-08T00:00:00+00:00"), lead(1, "2025-06-09T00:00:00+00:00")]
OLDEST = lead(302, "2025-06-07T00:00:00+00:00")
DAYS = ["2025-06-11", "2025-06-14", "2025-06-12", "2025-06-13"]
FOUR = [lead(number, f"{day}T00:00:00+00:00") for number, day in enumerate(DAYS)]
# Each index, and how many searches read it.
INDEXES = {
    "newest first, and a second fills more than a page": (
        Index([*reversed(SECOND), *reversed(leads_since("2025-06-09T00:00:00Z", 300, 1, first=300))]),
        13,
    ),
    "by creation, and the oldest leads were edited last": (
        Index([*leads_since("2025-06-14T00:00:00Z", 199, 1), *leads_since("2025-06-05T00:00:00Z", 801, 60, first=199)]),
        19,
    ),
    "by creation, and few leads are older than ten minutes": (Index([*OLDER, *RECENT, OLDEST]), 9),
    "dates without fractions": (Index(SECOND, shown=lambda date: f"{date[:19]}+00:00"), 9),
    "the date of an edit after the start of the sync, and a cursor on the last page": (
        Index(
            leads_since("2025-06-10T00:00:00Z", 10, 60),
            shown=lambda date: date.replace("10T00:09", "15T12:09"),
            always_has_cursor=True,
        ),
        6,
    ),
    "bounds are truncated to seconds": (Index(SECOND, bound=lambda bound: parse_moment(bound[:19])), 9),
    "by creation in pages of two, of which the first is in order by chance": (Index(FOUR, page_size=2), 7),
    "pages of a hundred": (Index(leads_since("2025-06-15T11:51:00Z", 300, 1), page_size=100), 10),
    "a cursor on the last page": (Index(RECENT[:100], always_has_cursor=True), 6),
}


@pytest.mark.parametrize(("index", "count"), INDEXES.values(), ids=INDEXES)
def test_an_index_that_does_what_close_does_not_document_hides_no_lead(api: Mocker, index: Index, count: int) -> None:
    assert sorted(read_index(api, index, index.rows).ids) == sorted(ids(index.rows))
    assert len(bodies(api)) == count


def test_leads_that_appear_during_short_pages_make_no_search_endless(api: Mocker) -> None:
    rows = leads_since("2025-06-15T11:51:00Z", 150, 1)
    later = leads_since("2025-06-15T11:55:00Z", 200, 1, first=150)
    index = Index(list(rows), page_size=100)
    appearing = iter(later)

    def search(request: Any, context: Any) -> Row:
        response = index(request, context)
        index.rows.append(next(appearing))
        return response

    read_index(api, search, rows + later)
    assert len(bodies(api)) < 20


@pytest.mark.parametrize("day", ["2025-06-01", "2025-06-02", "2025-06-12", "2025-06-20"])
def test_a_search_that_ignores_the_range_fails_the_stream_as_no_split_makes_it_shorter(api: Mocker, day: str) -> None:
    rows = leads_since(f"{day}T00:00:00Z", 300, 60)
    index = Index(rows)
    [failure] = read_index(api, lambda request, _: index.page(rows, request), rows).failures
    assert "Close's search does not get past the moment 2025-06-" in failure.message
    assert len(bodies(api)) < 100


def test_a_search_whose_first_page_is_empty_is_halved_at_whole_seconds_and_then_read_by_cursor(api: Mocker) -> None:
    """As if Close left deleted leads out of its pages. A part from one second to the next would never be read."""
    rows = leads_since("2025-06-10T00:00:00Z", 3, 0.5)
    index = Index(rows)

    def search(request: Any, context: Any) -> Row:
        if "cursor" in request.json():
            return index(request, context)
        return {"data": [], "cursor": "0"}

    assert read_index(api, search, rows).ids == ids(rows)


LONG = [lead(number, "2025-06-02T05:00:00+00:00") for number in range(500)]
MOMENT = LONG[:250]
FIRST = page(*MOMENT[:200], cursor="a")
REST = page(*MOMENT[200:])
WITHOUT_ONE = MOMENT[:4] + MOMENT[5:]
EDITED = [page(*WITHOUT_ONE[:200], cursor="a"), page(*WITHOUT_ONE[200:])]
TROUBLE: Row = {"status_code": 503, "json": {"error": "The store of cursors is down"}}
# The responses to the readings of the search of one moment, each to a request with this cursor.
SEARCHES: dict[str, tuple[list[Row], list[str | None]]] = {
    "nothing happens": ([FIRST, page(*LONG[200:400], cursor="b"), page(*LONG[400:])] * 2, [None, "a", "b"] * 2),
    "the cursor expires": ([FIRST, EXPIRED, FIRST, REST, FIRST, REST], [None, "a"] * 3),
    # Only a 400 says that a cursor has expired.
    "Close has a problem": ([FIRST, TROUBLE, REST, FIRST, REST], [None, "a", "a", None, "a"]),
    # Cursors may count positions: the edited lead leaves the window, and all others move forward.
    "a lead is edited between two cursors": ([FIRST, EDITED[1], *EDITED, *EDITED], [None, "a"] * 3),
    "an edit moves the only lead of the second page to the first": (
        [FIRST, page(), page(*MOMENT[1:201]), page(*MOMENT[1:201])],
        [None, "a", None, None],
    ),
    "so does one after a cursor has expired": (
        [FIRST, EXPIRED, FIRST, page(), page(*MOMENT[1:201]), page(*MOMENT[1:201])],
        [None, "a", None, "a", None, None],
    ),
    # A search that returns a lead twice may skip another, and so may the next one.
    "leads change places": ([FIRST, page(*MOMENT[190:240])] * 5 + [FIRST, REST] * 2, [None, "a"] * 7),
    "one lead takes the place of another": (
        [FIRST, page(*MOMENT[200:249], MOMENT[0])] * 3 + [FIRST, REST] * 2,
        [None, "a"] * 5,
    ),
    "a page has a lead twice": ([FIRST, page(*MOMENT[200:], MOMENT[249])] * 3, [None, "a"] * 2),
    "a cursor leads to the last lead again": ([FIRST, page(*MOMENT[199:])] * 3, [None, "a"] * 2),
    # Each search lacks leads, but together they have as many as each.
    "leads always change places": (
        [FIRST, page(*MOMENT[190:240]), FIRST, page(*MOMENT[150:180], *MOMENT[230:])] * 4,
        [None, "a"] * 4,
    ),
    "leads always change places, and only three searches have them all": (
        [
            *(FIRST, page(*MOMENT[180:230])),
            *(FIRST, page(*MOMENT[180:220], *MOMENT[230:240])),
            *(FIRST, page(*MOMENT[180:220], *MOMENT[240:])),
        ]
        * 4,
        [None, "a"] * 6,
    ),
    # A full page without a cursor may be cut short.
    "a full page has no cursor": ([page(*MOMENT[:200])] * 2, [None, None]),
}


def read_moment(api: Mocker, *responses: Row, later: Row | None = None, manifest: Row | None = None) -> Reading:
    """Read leads of one second and later ones; the searches in this second alone get these responses."""
    later = later or page()
    leads(api, FIRST, *responses, later)
    second = "2025-06-02T05:00:00.000000+00:00"
    next_second = "2025-06-02T05:00:01.000000+00:00"
    of_the_second = chain(responses, repeat(responses[-1]))

    def search(request: Any, context: Any) -> Any:
        start, end = range_of(request.json())
        if end <= second:
            response = page()
        elif start >= next_second:
            response = later
        elif start >= second and end <= next_second:
            response = next(of_the_second)
        else:
            response = FIRST
        context.status_code = response.get("status_code", 200)
        return response["json"]

    api.post(f"{API}/data/search/", json=search)
    return read("leads", start_date="2025-06-02", manifest=manifest)


@pytest.mark.parametrize(("responses", "cursors"), SEARCHES.values(), ids=SEARCHES)
def test_a_search_of_leads_of_one_second_is_made_again_until_it_is_not_known_to_skip_any(
    api: Mocker, responses: list[Row], cursors: list[str | None]
) -> None:
    later = leads_since("2025-06-02T06:00:00Z", 50, 60, first=500)
    reading = read_moment(api, FIRST, *responses, later=page(*later))
    pages = [response["json"].get("data", []) for response in (FIRST, *responses)]
    returned = {row["id"] for row in chain.from_iterable(pages)}
    assert sorted(reading.ids[:-50]) == sorted(returned)
    assert reading.ids[-50:] == ids(later)
    assert reading.statuses == {"leads": "COMPLETE"}
    assert starts_and_cursors(api) == [
        ("00:00:00", None),  # the whole window
        ("00:00:00", None),  # the time before the second
        ("05:00:00", None),  # the time from the second on
        ("05:00:00", None),  # the second
        *[("05:00:00", cursor) for cursor in cursors],
        ("05:00:01", None),  # the time after the second
    ]


def test_a_search_that_always_repeats_leads_and_so_may_lack_others_fails_the_stream(api: Mocker) -> None:
    reading = read_moment(api, *[FIRST, FIRST, page(*MOMENT[190:240])] * 100)
    assert len(reading.ids) == 240
    [failure] = reading.failures
    assert "Close's search does not get past the moment 2025-06-02T05:00:00" in failure.message


@pytest.mark.parametrize(
    ("limit", "cursor", "status"), [(240, None, "INCOMPLETE"), (240, "b", "INCOMPLETE"), (241, None, "COMPLETE")]
)
@pytest.mark.parametrize("last_rows", [MOMENT[199:239], [*MOMENT[200:239], MOMENT[238]]], ids=["two pages", "one page"])
def test_a_chain_ends_with_as_many_rows_as_close_returns_and_is_not_complete_also_if_it_has_a_lead_twice(
    api: Mocker, last_rows: list[Row], cursor: str | None, limit: int, status: str
) -> None:
    manifest = manifest_of("leads")
    [stream] = manifest["streams"]
    retriever = {**stream["retriever"], "rows_per_chain": limit}
    manifest = {**manifest, "streams": [{**stream, "retriever": retriever}]}
    readings = [FIRST, page(*last_rows, cursor=cursor)]
    # Of each half of the second the first page is requested, and then five readings by cursor.
    of_the_second = [FIRST, *readings * 6]
    of_a_half = [FIRST, *readings * 5]
    reading = read_moment(api, *of_the_second, *of_a_half * 10, manifest=manifest)
    assert reading.statuses == {"leads": status}
    assert len(reading.ids) == 239
    assert "b" not in [body.get("cursor") for body in bodies(api)]


def test_a_lead_that_is_edited_again_meanwhile_counts_as_no_repetition(api: Mocker) -> None:
    rows = leads_since("2025-06-15T11:50:00Z", 250, 1)
    edited = {**rows[3], "date_updated": "2025-06-15T11:59:59+00:00"}
    first = Index(rows)
    later = Index([*rows[:3], *rows[4:], edited])
    indexes = chain([first], repeat(later))

    def search(request: Any, context: Any) -> Row:
        index = next(indexes)
        return index(request, context)

    assert read_index(api, search, rows).ids == ids(rows)
    assert len(bodies(api)) == 3


def test_a_cursor_that_always_expires_fails_the_stream_when_its_time_can_not_be_split_any_more(api: Mocker) -> None:
    readings = [FIRST, EXPIRED]
    [failure] = read_moment(api, FIRST, *[*readings * 5, FIRST] * 10).failures
    assert failure.stream == "leads"
    assert "does not get past the moment 2025-06-02T05:00:00.000000+00:00" in failure.message
    assert len(bodies(api)) == 3 + 10 * 11


def test_records_are_emitted_as_close_sends_them_except_for_nulls_and_custom_fields(api: Mocker, caplog: Log) -> None:
    """Values by name beside values by id stay as they are."""
    contact = {"custom": {"b": 2}, "custom.cf_3": 1, "title": None}
    row = {**lead(1, "2025-06-14T00:00:00+00:00"), "contacts": [contact]}
    leads(api, page({**row, "url": None}))
    assert read("leads", start_date="2025-06-01").records == [{**row, "custom_fields": []}]
    assert warnings(caplog) == []


@pytest.mark.parametrize("more", [{}, {"cursor": ""}])
def test_a_response_without_a_cursor_ends_the_window(api: Mocker, more: Row) -> None:
    leads(api, {"json": {"data": [lead(1, "2025-06-14T00:00:00+00:00")], **more}})
    assert read("leads", start_date="2025-06-01").ids == ["lead_1"]
    assert len(bodies(api)) == 1


@pytest.mark.parametrize("more", [{}, {"cursor": None}])
def test_a_full_page_without_a_cursor_does_not_end_the_window(api: Mocker, more: Row) -> None:
    rows = leads_by_minute(250)
    assert read_leads(api, {"json": {"data": rows[:200], **more}}, {"json": {"data": rows[180:]}}) == ids(rows)


def test_a_full_refresh_ends_although_leads_are_edited_all_the_time(api: Mocker) -> None:
    """Each search finds fifty leads edited, which move to the end."""
    rows = leads_since("2025-06-10T00:00:00Z", 5_000, 15)
    edits = iter(leads_since("2025-06-15T12:00:00Z", 10_000, 0.2))
    index = Index(list(rows))

    def search(*request: Any) -> Row:
        for _ in range(50):
            oldest = index.rows.pop(0)
            edit = next(edits)
            index.rows.append({**oldest, "date_updated": edit["date_updated"]})
        return index(*request)

    leads(api, page(*rows))
    api.post(f"{API}/data/search/", json=search)
    reading = read_with_positions("leads", whole=["leads"], start_date="2025-06-10")
    assert reading.statuses == {"leads": "COMPLETE"}
    assert sorted(reading.ids) == sorted(ids(rows))
    assert api.call_count < 200

"""Offset lists: pages overlap, so that no row is lost while the list changes; and how large they are."""

import re
from copy import deepcopy
from datetime import datetime, timedelta, timezone
from functools import cache
from typing import Any

import pytest
from airbyte_cdk.sources.declarative.concurrent_declarative_source import TestLimits
from requests_mock import ANY, Mocker

from source_close.api.sync import Sync
from source_close.source import SourceClose, load_manifest
from source_close.streams.append_only_lists import Window
from unit_tests.syncs import API, KEY, KINDS, LOGGER, Log, Reading, Row, manifest_of, read, requested

PAGE_SIZE = 4
ACTIVITIES = f"{API}/activity/"
CAP = "The skip you set is larger than the maximum skip for this resource"


def row(name: str) -> Row:
    """Return an activity; ``a`` is of the first second of 2025-06-05, ``b1`` and ``b2`` are of the next one."""
    second = "abcdefghijklmnopqrstuvwxyz".index(name[0])
    return {"id": name, "date_created": f"2025-06-05T00:00:{second:02}+00:00"}


def page_of(rows: list[Row], *, is_followed: bool = False) -> Row:
    """Return a response with these rows, which says whether more follow."""
    return {"json": {"data": rows, "has_more": is_followed}}


def page(names: str, **columns: str) -> Row:
    """Return a response with one activity for each letter; a ``+`` at the end says that more follow."""
    rows = [{**row(name), **columns} for name in names.rstrip("+")]
    return page_of(rows, is_followed=names.endswith("+"))


@cache
def small_pages(stream: str = "activities", rows_per_window: int = 20_000) -> Row:
    """Return the manifest of a stream with pages of four rows instead of a hundred or a thousand."""
    manifest = deepcopy(manifest_of(stream))
    retriever = manifest["streams"][0]["retriever"]
    retriever["rows_per_window"] = rows_per_window
    retriever["pages"]["paginator"]["pagination_strategy"]["page_size"] = PAGE_SIZE
    return manifest


def read_activities(manifest: Row | None = None, start_date: str = "2025-06-01") -> Reading:
    """Read the activities of one window."""
    manifest = manifest or small_pages()
    return read("activities", manifest=manifest, start_date=start_date, attribution_window_hours=0)


def skips(api: Mocker) -> list[int]:
    return [int(request.qs["_skip"][0]) for request in api.request_history]


def bounds(api: Mocker) -> list[tuple[str, str]]:
    """Return the dates of each request up to the second."""
    requests = [request.qs for request in api.request_history]
    return [(query["date_created__gte"][0][:19], query["date_created__lt"][0][:19]) for query in requests]


# The offset of each request and the rows of its response; and the rows that are emitted.
READINGS = {
    # Each request begins with the last row but one of the previous page.
    "empty": ("0:", ""),
    "one row": ("0:a", "a"),
    "one full page": ("0:abcd", "abcd"),
    "one row more": ("0:abcd+ 2:cde", "abcde"),
    "two full pages": ("0:abcd+ 2:cdef", "abcdef"),
    "three pages": ("0:abcd+ 2:cdef+ 4:efg", "abcdefg"),
    # If it does not, the list has changed. The page at 2 of bcdefghi begins with d: the reader steps back to the row b.
    "a row of an earlier page is deleted": ("0:abcd+ 2:defg+ 0:bcde+ 2:defg+ 4:fghi", "abcdefghi"),
    "another one is deleted after the step back": ("0:abcd+ 2:defg+ 0:bcde+ 2:efgh", "abcdefgh"),
    # Edited rows move in a list sorted by modification, and so do rescheduled meetings: a known row comes first.
    "three rows move to the end": ("0:abcd+ 2:cdef+ 4:efgh+ 6:jabc 2:fghi+ 4:hija+ 6:jabc", "abcdefghij"),
    "a row is inserted at the start": ("0:abcd+ 2:bcde+ 0:nabc+ 2:bcde+ 4:defg+ 6:fgh", "abcdnefgh"),
    "all rows before the last ones are deleted": ("0:abcd+ 2:cdef+ 4:efgh+ 6: 2: 0:jkl", "abcdefghjkl"),
    "a second step back is larger": ("0:abcd+ 2:cdef+ 4:efgh+ 6:ghij+ 8:ijkl+ 10:klmn+ 12: 8: 0:mn", "abcdefghijklmn"),
    "a step back shows no new rows": ("0:abcd+ 2:cdef+ 4:efgh+ 6:ghij+ 8: 4:efgh+ 6: 0:kl", "abcdefghijkl"),
    "c moves after h": ("0:abcd+ 2:cdef+ 4:fghi+ 0:bcde+ 2:defg+ 4:cij 0:dfgh+ 2:ghci+ 4:cij", "abcdefghij"),
    "all rows are deleted": ("0:abcd+ 2:cdef+ 4:efgh+ 6: 2: 0:", "abcdefgh"),
    # A list that has more positions than rows were seen is read again: rows of one moment may change places between two
    # requests, so that one is returned twice, and another one never.
    "none is lost": ("0:abdc+ 2:dcef+ 4:efg", "abdcefg"),
    "the last page has a again in place of g": ("0:abcd+ 2:cdef+ 4:efah 0:abcd+ 2:cdef+ 4:efgh", "abcdefhg"),
    "b is deleted: as many positions as rows were seen": ("0:abcd+ 2:cdae 0:acde+ 2:dea 0:acde+ 2:def", "abcdef"),
    "all readings together show six rows": ("0:abcd+ 2:cdea 0:abcf+ 2:cfab" + 5 * " 0:abcd+ 2:cdea", "abcdef"),
    "the only page has a row twice": ("0:aba", "ab"),
    "Close returns one row instead of four": ("0:ab+ 1:b+ 2:cde 0:abcd+ 2:cde", "abcde"),
}


@pytest.mark.parametrize(("reading", "ids"), READINGS.values(), ids=READINGS)
def test_no_row_is_lost_or_repeated_whatever_rows_do_between_two_pages(api: Mocker, reading: str, ids: str) -> None:
    pages = [request.split(":") for request in reading.split()]
    api.get(ACTIVITIES, [page(names) for _, names in pages])
    assert "".join(read_activities().ids) == ids
    assert skips(api) == [int(offset) for offset, _ in pages]


def test_a_page_that_ends_with_rows_of_one_moment_is_followed_by_one_that_begins_before_these(api: Mocker) -> None:
    """Such rows may change places between two requests: a page that began with the last one could lack another."""
    first = [row(name) for name in ("a", "b1", "b2", "c1", "c2")]
    second = [row(name) for name in ("b1", "c3", "c1", "c2", "d")]
    api.get(ACTIVITIES, [page_of(first, is_followed=True), page_of(second)])
    assert read_activities().ids == ["a", "b1", "b2", "c1", "c2", "c3", "d"]
    assert skips(api) == [0, 2]


def test_the_moment_of_the_last_row_may_go_on_on_the_next_page(api: Mocker) -> None:
    """Then a deletion and a change of places could hide a row from a page that began with the last row: here d2."""
    first = [row(name) for name in ("a", "b", "c", "d1")]
    without_a = [row(name) for name in ("b", "c", "d2", "d1", "e")]
    later = [page_of(without_a[2:]), page_of(without_a[:4], is_followed=True), page_of(without_a[1:])]
    api.get(ACTIVITIES, [page_of(first, is_followed=True), *later])
    assert read_activities().ids == ["a", "b", "c", "d1", "d2", "e"]
    assert skips(api) == [0, 2, 0, 1]


def test_rows_with_the_same_date_of_modification_may_change_places_too(api: Mocker) -> None:
    """A deletion and a change of places could hide a row from a page that began with c: here e."""
    c, d, e = ({**row(name), "date_updated": "2025-06-08T00:00:00+00:00"} for name in "cde")
    without_a = [row("b"), e, c, d, row("f")]
    later = [page_of(without_a[1:]), page_of(without_a[:4], is_followed=True), page_of(without_a[3:])]
    api.get(ACTIVITIES, [page_of([row("a"), row("b"), c, d], is_followed=True), *later])
    assert "".join(read_activities().ids) == "abcdef"
    assert skips(api) == [0, 1, 0, 3]


READINGS_OF_ONE_MOMENT = {
    # There are as many positions as rows were seen.
    "e changes places with a, and b is deleted": ("0:abcd+ 3:dafg+ 6: 2:dafg 0:eacd+ 3:dfg", "abcdfge"),
    "rows are only deleted": ("0:abcd+ 3:defg+ 6:ghij+ 9: 5: 0:ghi+ 2:ij", "abcdefghij"),
}


@pytest.mark.parametrize(("reading", "ids"), READINGS_OF_ONE_MOMENT.values(), ids=READINGS_OF_ONE_MOMENT)
def test_a_list_of_one_moment_is_read_again_if_a_page_has_an_earlier_row(api: Mocker, reading: str, ids: str) -> None:
    pages = [request.split(":") for request in reading.split()]
    api.get(ACTIVITIES, [page(names, date_created="2025-06-05T00:00:00+00:00") for _, names in pages])
    assert "".join(read_activities().ids) == ids
    assert skips(api) == [int(offset) for offset, _ in pages]


def test_rows_without_a_date_are_not_of_one_moment(api: Mocker) -> None:
    first = page_of([{"id": name} for name in "abcd"], is_followed=True)
    second = page_of([{"id": name} for name in "be"])
    after_b = page_of([{"id": name} for name in "ce"])
    api.get(ACTIVITIES, [first, second, first, after_b])
    assert "".join(read_activities().ids) == "abcde"
    assert skips(api) == [0, 2, 0, 2]


def test_a_list_whose_first_page_is_always_new_and_whose_second_never_overlaps_fails_the_stream(api: Mocker) -> None:
    moment = {"date_created": "2025-06-05T00:00:00+00:00"}

    def always_new(*_: Any) -> Row:
        assert api.call_count < 2_000, "it is read without end"
        rows = [{"id": f"acti_{api.call_count}_{name}", **moment} for name in "abc"]
        return {"data": rows, "has_more": True}

    api.get(ANY, json=always_new)
    [failure] = read_activities().failures
    assert "the list changed each time that it was read" in failure.message


def test_a_list_that_always_has_more_positions_than_rows_fails_the_stream(api: Mocker) -> None:
    """Two servers may sort rows in different orders, and answer in turns."""
    api.get(f"{API}/user/", [page("ab+"), page("ba")] * 6)
    reading = read("users")
    assert reading.ids == ["a", "b"]
    [failure] = reading.failures
    assert "the list changed each time that it was read, so records could be missing" in failure.message
    assert skips(api) == [0, 1] * 6


@pytest.mark.parametrize(
    ("later", "reason"),
    [
        (page("+"), "the list changed each time that it was read"),
        (page("xyz+"), "the list changed each time that it was read"),
        (
            {"status_code": 400, "json": {"error": CAP}},
            f'GET /api/v1/activity/ with _skip 2 and _limit 4 answered 400: «{{"error": "{CAP}"}}».',
        ),
    ],
    ids=["no rows", "other rows", "a refused offset"],
)
def test_a_second_whose_end_can_not_be_read_fails_the_stream_and_is_named(api: Mocker, later: Row, reason: str) -> None:
    api.get(ANY, **later)
    api.get(re.compile(r"_skip=0\b"), **page("abc+", date_created="2025-06-05T00:00:00+00:00"))
    [failure] = read_activities().failures
    assert failure.stream == "activities"
    assert "The records at 2025-06-05T00:00:00.000000+00:00 can't be read completely: " in failure.message
    assert reason in failure.message
    assert api.call_count < 1_000


@pytest.mark.parametrize(
    "refusal",
    [
        f'{{"error": "{CAP} (max_skip = 2)."}}',
        '{"errors": [], "field-errors": {"_skip": "Input should be less than or equal to 2"}}',
        f'{{"field-errors": {{"_skip": "{CAP}"}}}}',
        '{"message": [{"_skip": ["INPUT SHOULD BE LESS THAN OR EQUAL TO 2"]}],\n "errors": []}',
        '{"error": "_skip and _limit must not exceed 2 together."}',
        '{"error": "Too deep pagination."}',
        '{"error": "Input should be less than or equal to 2"}',
    ],
    ids=["old", "new", "old under the field", "new in a list", "both", "neither", "new without a name"],
)
def test_an_offset_that_close_refuses_splits_the_window(api: Mocker, refusal: str) -> None:
    refused = {"status_code": 400, "text": refusal}
    # The cut is at the median of the known rows.
    api.get(ACTIVITIES, [page("abcd+"), refused, page("cdef+"), page("efgh"), page("ab")])
    assert "".join(read_activities().ids) == "abcdefgh"
    start = "2025-06-01t00:00:00"
    cut = "2025-06-05t00:00:02"
    end = "2025-06-15t12:00:00"
    assert bounds(api) == [(start, end), (start, end), (cut, end), (cut, end), (start, cut)]
    assert skips(api) == [0, 2, 0, 2, 0]


TEN_ROWS = [page("abcd+"), page("cdef+"), page("efgh+"), page("ghij+")]


def test_a_window_with_many_rows_is_split_as_its_ids_are_in_memory(api: Mocker) -> None:
    """Each half continues a page before the end of its known rows."""
    api.get(ACTIVITIES, [*TEN_ROWS, page("ghij+"), page("ijkl"), page("bcde")])
    assert "".join(read_activities(small_pages(rows_per_window=9)).ids) == "abcdefghijkl"
    start = "2025-06-01t00:00:00"
    cut = "2025-06-05t00:00:05"
    end = "2025-06-15t12:00:00"
    assert bounds(api)[3:] == [(start, end), (cut, end), (cut, end), (start, cut)]
    assert skips(api) == [0, 2, 4, 6, 1, 3, 1]


def test_a_half_that_lacks_a_row_is_read_again_from_its_start(api: Mocker) -> None:
    newer = [page("ghij+"), page("ijlf"), page("fghi+"), page("hijk+"), page("jkl")]
    api.get(ACTIVITIES, [*TEN_ROWS, *newer, page("bcde")])
    assert "".join(read_activities(small_pages(rows_per_window=9)).ids) == "abcdefghijlk"
    assert skips(api) == [0, 2, 4, 6, 1, 3, 0, 2, 4, 1]


def test_a_half_hides_no_row_if_another_one_is_deleted_and_the_last_known_one_changes_places(api: Mocker) -> None:
    """A reading that continued with j1, the last known row, would not show j2."""
    f, g, h, i, j1, j2, k = (row(name) for name in ("f", "g", "h", "i", "j1", "j2", "k"))
    newer = [
        page_of([h, i, j2, j1], is_followed=True),
        page_of([f, h, i, j2], is_followed=True),
        page_of([i, j2, j1, k]),
    ]
    api.get(ACTIVITIES, [*TEN_ROWS[:3], page_of([g, h, i, j1], is_followed=True), *newer, page("bcde")])
    assert read_activities(small_pages(rows_per_window=9)).ids == [*"abcdefghi", "j1", "j2", "k"]
    assert skips(api) == [0, 2, 4, 6, 1, 0, 2, 1]


def test_a_window_of_tasks_with_one_date_of_creation_is_split_and_continues_with_its_next_rows(api: Mocker) -> None:
    created = {"date_created": "2025-06-05T00:00:00+00:00"}
    rows = [{"id": name, **created, "date_updated": row(name)["date_created"]} for name in "abcdefghijkl"]
    whole = [page_of(rows[first : first + 4], is_followed=True) for first in (0, 3, 6)]
    halves = [page_of(rows[6:10], is_followed=True), page_of(rows[9:]), page_of(rows[1:5])]
    api.get(f"{API}/task/", [*whole, *halves])
    reading = read("tasks", manifest=small_pages("tasks", rows_per_window=9), start_date="2025-06-01")
    assert "".join(reading.ids) == "abcdefghijkl"
    assert skips(api) == [0, 3, 6, 1, 4, 1]


def test_a_window_that_was_read_to_its_end_is_not_split(api: Mocker) -> None:
    api.get(ACTIVITIES, [page("abcd+"), page("cdef")])
    assert "".join(read_activities(small_pages(rows_per_window=5)).ids) == "abcdef"
    assert skips(api) == [0, 2]


def test_a_task_that_is_edited_into_the_newer_half_of_a_window_is_read_in_a_full_refresh(api: Mocker) -> None:
    """All tasks are edited after the start of the sync, and one again while a half of them is read."""
    manifest = small_pages("tasks", rows_per_window=5)
    # g and h are not read before the split.
    seconds = {"a": 3, "b": 4, "c": 5, "d": 6, "e": 7, "f": 8, "g": 1, "h": 2}

    def tasks(request: Any, _: Any) -> Row:
        [start] = request.qs["date_updated__gte"]
        [end] = request.qs["date_updated__lt"]
        [offset] = request.qs["_skip"]
        dates = {name: f"2025-06-15T12:00:0{second}.000000+00:00" for name, second in seconds.items()}
        found = [name for name, date in dates.items() if start <= date.lower() < end]
        is_half = 0 < len(found) < len(seconds)
        if is_half:
            seconds["g"] = 9
        rows = [{"id": name, "date_created": name, "date_updated": dates[name]} for name in found]
        rest = rows[int(offset) :]
        return {"data": rest[:PAGE_SIZE], "has_more": len(rest) > PAGE_SIZE}

    api.get(f"{API}/task/", json=tasks)
    sync = Sync(custom_field_columns=False, full_refreshes=["tasks"])
    reading = read("tasks", manifest=manifest, start_date="2025-06-15", sync=sync)
    assert sorted(reading.ids) == list(seconds)
    assert seconds["g"] == 9


def test_rows_outside_a_window_do_not_split_it(api: Mocker) -> None:
    """If a list ignores dates, no split makes it shorter."""
    api.get(ACTIVITIES, [page("abcd+"), page("cdef+"), page("efgh")])
    assert "".join(read_activities(small_pages(rows_per_window=5), start_date="2025-06-06").ids) == "abcdefgh"
    assert skips(api) == [0, 2, 4]


def test_a_refused_first_page_fails_the_stream_as_smaller_windows_would_not_help(api: Mocker) -> None:
    refusal = "_skip must be a multiple of _limit"
    api.get(ACTIVITIES, status_code=400, json={"error": refusal})
    [failure] = read_activities().failures
    text = (
        "Stream activities: GET /api/v1/activity/ with _skip 0 and _limit 4 answered 400: "
        f'«{{"error": "{refusal}"}}». Please report this message.'
    )
    assert failure == ("activities", "system_error", text)
    assert api.call_count == 1


@pytest.mark.parametrize(
    ("seen", "end", "cut"),
    [
        ((0.5, 4.9, 9.1), 10.5, 9),
        ((0.5, 0.75), 10.5, 1),
        ((), 1.5, 1),
        ((0.5,), 1.0, None),
        ((0.5, 0.75), 0.9, None),
    ],
    ids=["a median", "no row after the first second", "no row", "up to the next second", "within a second"],
)
def test_a_window_is_cut_at_a_whole_second(seen: tuple[float, ...], end: float, cut: float | None) -> None:
    """If Close truncates bounds to seconds, it returns nothing for a window that begins and ends in one second."""
    midnight = datetime(2025, 6, 5, tzinfo=timezone.utc)
    rows: dict[str, datetime | None] = {f"acti_{at}": midnight + timedelta(seconds=at) for at in seen}
    window = Window(midnight + timedelta(seconds=0.25), midnight + timedelta(seconds=end), rows)
    parts = sorted((part.start - midnight, part.end - midnight) for part in window.split(oldest_first=False))
    expected = [] if cut is None else [(0.25, cut), (cut, end)]
    assert parts == [(timedelta(seconds=low), timedelta(seconds=high)) for low, high in expected]


def test_a_row_without_a_date_is_of_the_newer_half() -> None:
    start = datetime(2025, 6, 5, tzinfo=timezone.utc)
    rows = {"acti_1": None, "acti_2": start + timedelta(seconds=2), "acti_3": start + timedelta(seconds=3)}
    halves = Window(start, start + timedelta(seconds=9), rows).split(oldest_first=False)
    assert [list(half.seen) for half in halves] == [["acti_2"], ["acti_1", "acti_3"]]


@pytest.mark.parametrize(
    "text",
    [
        "<html>400</html>",
        '{"errors": [], "field-errors": {"cursor": "Expired cursor"}}',
        '{"error": "The range of dates is larger than the maximum of 30 days"}',
    ],
)
def test_other_400s_are_not_taken_for_a_refused_offset(api: Mocker, text: str) -> None:
    api.get(ACTIVITIES, [page("abcd+"), {"status_code": 400, "text": text}])
    [failure] = read_activities().failures
    assert failure.stream == "activities"
    assert failure.kind == "system_error"
    assert "answered 400: " in failure.message
    assert "Close rejected the request as invalid." in failure.message


@pytest.mark.parametrize(("kind", "second"), [("OffsetIncrement", 4), ("PageIncrement", 1)])
def test_the_paginator_of_the_manifest_is_the_one_that_is_asked(api: Mocker, kind: str, second: int) -> None:
    manifest = load_manifest()
    paginator = manifest["definitions"]["shared"]["offset_paginator"]
    paginator["pagination_strategy"] = {"type": kind, "page_size": PAGE_SIZE}
    api.get(ACTIVITIES, [page("abcd+"), page("cde")])
    read_activities(manifest)
    assert skips(api)[:2] == [0, second]


NEW_WORDING = {"errors": [], "field-errors": {"_limit": "Input should be less than or equal to 100"}}
OLD_WORDING = {"error": "The limit you set is larger than the maximum limit for this resource (max_limit = 100)."}
WITHOUT_A_NAME = {"error": "Input should be less than or equal to 100"}
THOUSAND = [{"id": f"id_{number}"} for number in range(1_000)]


class List:
    """A list of Close that refuses pages of more than ``largest`` rows."""

    def __init__(self, count: int, refusal: Row, largest: int = 100) -> None:
        self.rows = [
            {"id": f"id_{number}", "date_updated": f"2025-06-01T00:00:00.{number:06}+00:00"} for number in range(count)
        ]
        self.largest = largest
        self._refusal = refusal

    def __call__(self, request: Any, context: Any) -> Row:
        if "_limit" not in request.qs:  # a list without pages
            return {"data": self.rows}
        limit = int(request.qs["_limit"][0])
        start = int(request.qs["_skip"][0])
        end = start + limit
        if limit > self.largest:
            context.status_code = 400
            return self._refusal
        return {"data": self.rows[start:end], "has_more": end < len(self.rows)}


def sizes(api: Mocker, path: str) -> list[tuple[int, int]]:
    """Return the limit and the offset of each request."""
    found = [request.qs for request in api.request_history if request.path.startswith(f"/api/v1{path}")]
    return [(int(query["_limit"][0]), int(query["_skip"][0])) for query in found]


@pytest.mark.parametrize("refusal", [NEW_WORDING, OLD_WORDING, WITHOUT_A_NAME], ids=["new", "old", "without a name"])
@pytest.mark.parametrize(("stream", "path"), [("users", "/user/"), ("tasks", "/task/")])
def test_smaller_pages_are_read_if_close_refuses_large_ones(api: Mocker, stream: str, path: str, refusal: Row) -> None:
    api.get(f"{API}{path}", json=List(250, refusal))
    reading = read(stream, start_date="2025-06-01")
    assert reading.failures == []
    assert sizes(api, path) == [(1000, 0), (100, 0), (100, 98), (100, 196)]
    assert reading.ids == [f"id_{number}" for number in range(250)]


def test_after_a_refusal_a_step_back_is_as_large_as_the_smaller_page(api: Mocker) -> None:
    users = List(350, NEW_WORDING)

    def delete_a_row_after_a_page(request: Any, context: Any) -> Row:
        response = users(request, context)
        if request.qs["_skip"] == ["196"]:
            del users.rows[0]
        return response

    api.get(f"{API}/user/", json=delete_a_row_after_a_page)
    reading = read("users")
    assert sizes(api, "/user/") == [
        (1000, 0), (100, 0), (100, 98), (100, 196), (100, 294), (100, 194), (100, 292)
    ]  # fmt: skip
    assert reading.ids == [f"id_{number}" for number in range(350)]


def test_a_large_page_is_refused_once_for_all_windows_of_a_stream(api: Mocker, caplog: Log) -> None:
    api.get(f"{API}/task/", json=List(0, NEW_WORDING))
    read("tasks", start_date="2025-01-01")
    assert [limit for limit, _ in sizes(api, "/task/")] == [1000] + [100] * 12
    text = "Stream tasks: Close refuses pages of 1000 records. The connector reads pages of 100."
    assert caplog.messages.count(text) == 1


def test_a_check_and_a_discover_find_the_smaller_page_size(api: Mocker) -> None:
    for path in ("user", "task", *(f"custom_field/{kind}" for kind in KINDS)):
        api.get(f"{API}/{path}/", json=List(1, NEW_WORDING))
    for path in ("activity", "event"):
        api.get(f"{API}/{path}/", json={"data": [], "has_more": False})
    api.post(f"{API}/data/search/", json={"data": [], "cursor": None})
    status = SourceClose().check(LOGGER, {"api_key": KEY})
    assert status.status.value == "SUCCEEDED"
    assert status.message is None
    assert SourceClose().discover(LOGGER, {"api_key": KEY}).streams


@pytest.mark.parametrize(
    ("first", "refusal", "refused"),
    [
        ({"status_code": 400, "json": NEW_WORDING}, "_limit must be 50 at most", "_skip 0 and _limit 100"),
        (page_of(THOUSAND, is_followed=True), f"{CAP} (max_skip = 900).", "_skip 998 and _limit 1000"),
    ],
    ids=["a smaller page", "an offset"],
)
def test_a_refusal_that_no_other_page_avoids_is_quoted(api: Mocker, first: Row, refusal: str, refused: str) -> None:
    api.get(f"{API}/user/", [first, {"status_code": 400, "json": {"error": refusal}}])
    [failure] = read("users").failures
    assert failure.stream == "users"
    quote = f'«{{"error": "{refusal}"}}»'
    text = f"GET /api/v1/user/ with {refused} answered 400: {quote}. Please report this message."
    assert failure.message == f"Stream users: {text}"
    assert len(requested(api, "/user/")) == 2


def test_a_page_size_that_is_refused_later_is_reduced_where_the_list_was(api: Mocker) -> None:
    users = List(2_500, NEW_WORDING, largest=1_000)

    def accept_one_large_page(request: Any, context: Any) -> Row:
        response = users(request, context)
        users.largest = 100
        return response

    api.get(f"{API}/user/", json=accept_one_large_page)
    assert read("users").ids == [f"id_{number}" for number in range(2_500)]
    assert sizes(api, "/user/")[:4] == [(1000, 0), (1000, 998), (100, 998), (100, 1096)]


def test_a_test_read_of_airbytes_tools_reads_smaller_pages_as_well(api: Mocker) -> None:
    api.get(f"{API}/user/", json=List(250, NEW_WORDING))
    limits = TestLimits(max_records=1_000, max_pages_per_slice=5, max_slices=5)
    assert len(read("users", limits=limits).ids) == 250


@pytest.mark.parametrize("more", [{}, {"has_more": None}, {"has_more": ""}])
@pytest.mark.parametrize("count", [99, 999, 1_001])
def test_a_page_of_another_length_need_not_say_whether_more_rows_follow(api: Mocker, count: int, more: Row) -> None:
    """A list that is not paged may have more rows than were asked for."""
    rows = [{"id": f"user_{number}"} for number in range(count)]
    api.get(f"{API}/user/", json={"data": rows, "total_results": count, **more})
    reading = read("users")
    assert reading.failures == []
    assert len(reading.ids) == count


@pytest.mark.parametrize("more", [{}, {"has_more": None}, {"has_more": ""}])
@pytest.mark.parametrize("count", [100, 1_000])
def test_a_page_as_long_as_a_page_size_must_say_whether_more_rows_follow(api: Mocker, count: int, more: Row) -> None:
    """Close may cut a page of 1,000 rows to 100."""
    api.get(f"{API}/user/", json={"data": THOUSAND[:count], "total_results": count, **more})
    reading = read("users")
    assert reading.ids == []
    assert "does not say whether more records follow" in reading.failures[0].message


@pytest.mark.parametrize("count", [100, 1_000])
@pytest.mark.parametrize("kind", ["shared", "custom_object_type"])
def test_a_list_that_has_no_pages_may_have_any_number_of_rows(api: Mocker, kind: str, count: int) -> None:
    api.get(f"{API}/custom_field/{kind}/", json={"data": [{"id": f"cf_{number}"} for number in range(count)]})
    assert len(read("custom_fields").ids) == count


@pytest.mark.parametrize("kind", ["shared", "custom_object_type"])
@pytest.mark.parametrize(
    ("more", "status", "count"),
    [({}, "COMPLETE", 1), ({"has_more": False}, "COMPLETE", 1), ({"has_more": True}, "INCOMPLETE", 3)],
)
def test_a_list_that_refuses_pages_is_read_whole(api: Mocker, kind: str, more: Row, status: str, count: int) -> None:
    """Close documents no parameters for two of the lists of custom fields."""

    def unpaged_fields(request: Any, context: Any) -> Row:
        if "_limit" in request.qs:
            context.status_code = 400
            return {"errors": [], "field-errors": {"_limit": "Extra inputs are not permitted"}}
        return {"data": [{"id": f"cf_{number}"} for number in range(150)], **more}

    api.get(f"{API}/custom_field/{kind}/", json=unpaged_fields)
    reading = read("custom_fields")
    assert len(reading.ids) == 150
    assert reading.statuses == {"custom_fields": status}
    requests = requested(api, f"/custom_field/{kind}/")
    assert requests[0] == f"/custom_field/{kind}/"
    assert len(requests) == count


def test_a_list_that_should_have_no_pages_but_says_that_more_follows_is_paged(api: Mocker) -> None:
    def shared_fields(request: Any, _: Any) -> Row:
        first = int(request.qs.get("_skip", ["0"])[0])
        return {"data": THOUSAND[first : first + 100], "has_more": first + 100 < 250}

    api.get(f"{API}/custom_field/shared/", json=shared_fields)
    reading = read("custom_fields")
    assert reading.statuses == {"custom_fields": "COMPLETE"}
    assert {f"id_{number}" for number in range(250)} <= set(reading.ids)

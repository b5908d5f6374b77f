"""Offset pages: every row once, whatever leaves or joins the list meanwhile, and errors about ``_skip`` told apart."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest

from source_close.offset_pages import OffsetPages, Page, SkipCapError, UnstableListError, page_of, skip_cap_in
from source_close.windows import Window

WINDOW = Window(datetime(2024, 1, 1, tzinfo=timezone.utc), datetime(2025, 1, 1, tzinfo=timezone.utc))
STAMP = "2024-05-06T07:08:09.010000+00:00"


class FakeList:
    """Ids behind ``_skip`` and ``_limit``; ``then`` changes them after the request of that number."""

    def __init__(self, *ids: str, then: dict[int, Callable[[list[str]], object]] | None = None) -> None:
        self.ids = list(ids)
        self.requests: list[tuple[int, int]] = []
        self._then = then or {}

    def __call__(self, skip: int, limit: int) -> Page:
        self.requests.append((skip, limit))
        assert len(self.requests) < 100, "reads for ever"
        page = Page(
            [{"id": row_id, "date_created": STAMP} for row_id in self.ids[skip : skip + limit]],
            has_more=len(self.ids) > skip + limit,
        )
        if (change := self._then.get(len(self.requests))) is not None:
            change(self.ids)
        return page


def pages_of(fake: Callable[[int, int], Page], window: Window = WINDOW, size: int = 3) -> list[list[str]]:
    return [[row["id"] for row in rows] for rows in OffsetPages(fake, size, "date_created", window)]


@pytest.mark.parametrize(
    ("ids", "pages", "requests"),
    [
        ("", [], [(0, 3)]),
        ("a", ["a"], [(0, 3)]),
        ("abc", ["abc"], [(0, 3)]),
        ("abcd", ["abc", "d"], [(0, 3), (2, 3)]),
        ("abcde", ["abc", "de"], [(0, 3), (2, 3)]),
        ("abcdef", ["abc", "de", "f"], [(0, 3), (2, 3), (4, 3)]),
    ],
    ids=["empty", "one row", "a page exactly full", "one row more", "two pages exactly full", "three pages"],
)
def test_each_request_begins_with_the_last_row_of_the_page_before(
    ids: str, pages: list[str], requests: list[tuple[int, int]]
) -> None:
    fake = FakeList(*ids)
    assert ["".join(page) for page in pages_of(fake)] == pages
    assert fake.requests == requests


def test_a_row_that_leaves_a_page_already_read_hides_none() -> None:
    fake = FakeList(*"abcdefgh", then={1: lambda ids: ids.remove("a")})
    assert "".join(map("".join, pages_of(fake))) == "abcdefgh"
    # bcdefgh: at 2 comes d, which is new; a step back meets c, or b, which is known.
    assert fake.requests[:3] == [(0, 3), (2, 3), (0, 3)]


def test_rows_that_move_to_where_the_next_page_begins_hide_none() -> None:
    """Edited rows of a list by modification, or meetings that were moved: known, but not the last row read."""
    fake = FakeList(*"abcdefg", then={2: lambda ids: ids.extend([ids.pop(0), ids.pop(0), ids.pop(0)])})
    assert sorted("".join(map("".join, pages_of(fake)))) == list("abcdefg")


def test_a_row_that_joins_before_the_pages_already_read_repeats_none() -> None:
    fake = FakeList(*"abcdefg", then={1: lambda ids: ids.insert(0, "new")})
    assert "".join(map("".join, pages_of(fake))) == "abcnewdefg"


def test_everything_but_the_end_is_deleted_meanwhile() -> None:
    fake = FakeList(*"abcdefghijkl", then={3: lambda ids: ids.__delitem__(slice(0, 9))})
    ids = "".join(map("".join, pages_of(fake)))
    assert ids == "abcdefgjkl"
    assert len(fake.requests) <= 8


def test_everything_is_deleted_meanwhile() -> None:
    fake = FakeList(*"abcdefgh", then={2: lambda ids: ids.clear()})
    assert pages_of(fake) == [["a", "b", "c"], ["d", "e"]]
    assert fake.requests[-1] == (0, 3)


def test_an_empty_page_behind_the_end_ends_the_list() -> None:
    fake = FakeList(*"abcd", then={1: lambda ids: ids.__delitem__(slice(1, None))})
    assert pages_of(fake) == [["a", "b", "c"]]
    assert fake.requests == [(0, 3), (2, 3), (0, 3)]


def test_rows_that_come_with_has_more_but_no_row_do_not_loop_for_ever() -> None:
    requests: list[int] = []

    def fetch(skip: int, limit: int) -> Page:
        requests.append(skip)
        assert len(requests) < 100, "reads for ever"
        return Page([{"id": "a"}] if skip == 0 else [], has_more=True)

    with pytest.raises(UnstableListError):
        pages_of(fetch)


def test_a_list_whose_later_pages_never_join_what_was_read_is_told() -> None:
    number = iter(range(10**6))
    requests: list[int] = []

    def fetch(skip: int, limit: int) -> Page:
        requests.append(skip)
        assert len(requests) < 100, "reads for ever"
        ids = ["a", "b", "c"] if skip == 0 else [f"row {next(number)}" for _ in range(limit)]
        return Page([{"id": row_id} for row_id in ids], has_more=True)

    given: list[str] = []

    def read() -> None:
        for rows in OffsetPages(fetch, 3, "date_created", WINDOW):
            given.extend(row["id"] for row in rows)

    with pytest.raises(UnstableListError):
        read()
    assert given == ["a", "b", "c"]
    assert len(requests) <= 60


def test_rows_of_the_head_are_not_given_out_again() -> None:
    fake = FakeList(*"abcdef")
    head = tuple((row_id, None) for row_id in "abcd")
    assert pages_of(fake, Window(WINDOW.start, WINDOW.end, head=head)) == [["e", "f"]]
    assert fake.requests == [(3, 3)]


def test_an_unreadable_stamp_belongs_to_the_newer_half() -> None:
    window = Window(
        WINDOW.start,
        WINDOW.end,
        head=(
            ("old", datetime(2024, 2, 1, tzinfo=timezone.utc)),
            ("edge", datetime(2024, 7, 1, tzinfo=timezone.utc)),
            ("odd", None),
        ),
    )
    pages = OffsetPages(FakeList(), 3, "date_created", window)
    older, newer = pages.divide(window, datetime(2024, 7, 1, tzinfo=timezone.utc))
    assert [row_id for row_id, _ in older.head] == ["old"]
    assert [row_id for row_id, _ in newer.head] == ["edge", "odd"]
    assert (older.end, newer.start) == (newer.start, older.end)


@pytest.mark.parametrize(("skip", "row_id"), [(0, "a"), (2, "c"), (3, None)])
def test_looking_at_one_row(skip: int, row_id: str | None) -> None:
    fake = FakeList(*"abc")
    row = OffsetPages(fake, 3, "date_created", WINDOW).row_at(skip)
    assert (row and row["id"]) == row_id
    assert fake.requests == [(skip, 1)]


@pytest.mark.parametrize(
    ("body", "cap"),
    [
        (
            (
                '{"error": "The skip you set is larger than the maximum skip for this resource (max_skip = 250000). '
                'Please refine your search query."}'
            ),
            250_000,
        ),
        (
            (
                '{"errors": [], "field-errors": {"_skip": "The skip you set is larger than the maximum skip for this '
                'resource (max_skip = 35000). Please refine your search query."}}'
            ),
            35_000,
        ),
        ('{"errors": ["The skip you set is larger than the maximum skip for this resource."]}', None),
        ('{"errors": [], "field-errors": {"_skip": "Input should be less than or equal to 10000"}}', 10_000),
        ('{"field-errors": {"_skip": ["Input should be less than or equal to 1500"]}, "errors": []}', 1_500),
        ('{"field-errors": {"_limit": "wrong", "_skip": "Input should be less than or equal to 1500"}}', 1_500),
        ('{"message": {"detail": [{"_skip": "INPUT SHOULD BE LESS THAN OR EQUAL TO 7"}]}}', 7),
        ('{\n "error": "max_skip=99"\n}', 99),
    ],
)
def test_both_wordings_of_the_skip_cap_are_known_wherever_they_stand(body: str, cap: int | None) -> None:
    found = skip_cap_in(body)
    assert isinstance(found, SkipCapError)
    assert found.cap == cap


@pytest.mark.parametrize(
    "body",
    [
        "",
        "<html>400</html>",
        '{"error": "The limit you set is larger than the maximum limit for this resource (max_limit = 100)."}',
        '{"errors": [], "field-errors": {"_limit": "Input should be less than or equal to 200"}}',
        '{"errors": [], "field-errors": {"cursor": "Expired cursor"}}',
        '{"error": "_skip must be a non-negative integer (got \\"-1\\" instead)."}',
    ],
)
def test_other_errors_are_not_taken_for_the_skip_cap(body: str) -> None:
    assert skip_cap_in(body) is None


@pytest.mark.parametrize(
    ("answer", "page"),
    [
        ({"data": [{"id": "a"}], "has_more": True}, Page([{"id": "a"}], has_more=True)),
        ({"data": [{"id": "a"}], "has_more": False, "total_results": 1}, Page([{"id": "a"}], has_more=False)),
        ({"data": []}, Page([], has_more=False)),
    ],
    ids=["more", "last", "a list without paging"],
)
def test_the_envelope(answer: dict[str, Any], page: Page) -> None:
    assert page_of(answer) == page

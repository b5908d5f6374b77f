"""Reading offset pages so that nothing is missed, whatever their order and while rows come and go.

https://developer.close.com/api/overview/pagination.md
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from source_close.windows import Row, Window, moment_of

# Both wordings of the error that a too large _skip gets, wherever in the body they stand.
_SKIP_CAP = re.compile(
    r"larger than the maximum skip|max_skip|_skip\b[^}]*less than or equal to", re.IGNORECASE | re.DOTALL
)
_SKIP_CAP_NUMBER = re.compile(
    r"max_skip\s*=\s*(\d+)|_skip\b[^}]*?less than or equal to (\d+)", re.IGNORECASE | re.DOTALL
)


@dataclass(frozen=True)
class Page:
    """One answer of an offset list."""

    rows: list[Row]
    has_more: bool


class SkipCapError(Exception):
    """The API refuses to skip so many rows; ``cap`` is the largest ``_skip`` it takes, where it says so."""

    def __init__(self, cap: int | None) -> None:
        super().__init__(cap)
        self.cap = cap


def skip_cap_in(body: str) -> SkipCapError | None:
    """The error that the ``body`` of a 400 stands for if it is about ``_skip``, else None."""
    if not _SKIP_CAP.search(body):
        return None
    number = _SKIP_CAP_NUMBER.search(body)
    return SkipCapError(int(number[1] or number[2]) if number else None)


class UnstableListError(Exception):
    """The list comes in another order with every request: offsets mean nothing."""


FetchPage = Callable[[int, int], Page]
_MOST_STEPS_BACK = 25


class OffsetPages:
    """The pages of one window of an offset list, each row once.

    Offsets count rows in the list as it is at the moment: a row that leaves a page already read moves all later ones
    forward, over the edge of the page to come. So each request begins with the last row of the page before. If that
    row does not come first, rows may have slipped by, and the reader steps back until it meets a known one. (To be
    known is not enough at first: a row that was edited may have moved to where the next page begins.) This needs an
    order that stays the same between two requests for most rows, but not any particular one.

    Attributes:
        seen: id and stamp of every row met so far, in the list's order.
        position: the ``_skip`` of the page read last.
        has_more: whether that page said that more rows follow.
    """

    def __init__(self, fetch: FetchPage, page_size: int, cursor_field: str, window: Window | None = None) -> None:
        """``fetch`` takes ``_skip`` and ``_limit``; rows of the window's head are not given out again."""
        self._fetch = fetch
        self._page_size = page_size
        self._cursor_field = cursor_field
        self.seen: dict[str, datetime | None] = dict(window.head if window else ())
        self.position = max(len(self.seen) - 1, 0)
        self.has_more = True
        self._last = next(reversed(self.seen), None)

    def __iter__(self) -> Iterator[list[Row]]:
        """Yield the new rows of page after page.

        Raises:
            SkipCapError: the rows that are left lie behind the cap; ``seen`` tells which were read.
            UnstableListError: rows read before are nowhere to be found again.
        """
        steps_back = 0
        while self.has_more:
            page = self._fetch(self.position, self._page_size)
            if self.position and not self._joins(page, steps_back):
                if (steps_back := steps_back + 1) > _MOST_STEPS_BACK:
                    raise UnstableListError
                self.position = max(self.position - self._page_size * 2**steps_back // 2, 0)
                continue
            new = [row for row in page.rows if row["id"] not in self.seen]
            self.seen.update((row["id"], moment_of(row, self._cursor_field)) for row in new)
            self.has_more = page.has_more
            self._last = page.rows[-1]["id"] if page.rows else None
            if new and self.position:  # at the front any page fits: that says nothing about the order
                steps_back = 0
            if new:
                yield new
            if page.has_more:
                self.position += max(len(page.rows) - 1, 1)

    def _joins(self, page: Page, steps_back: int) -> bool:
        first = page.rows[0]["id"] if page.rows else None
        return first in self.seen if steps_back else first is not None and first == self._last

    def row_at(self, skip: int) -> Row | None:
        """The row at ``skip``, None if the list is shorter.

        Raises:
            SkipCapError: ``skip`` is too large.
        """
        rows = self._fetch(skip, 1).rows
        return rows[0] if rows else None

    def divide(self, window: Window, at: datetime) -> tuple[Window, Window]:
        """Cut ``window`` at ``at``; each half, older first, knows which of its rows have been given out."""
        older: list[tuple[str, datetime | None]] = []
        newer: list[tuple[str, datetime | None]] = []
        for row_id, moment in self.seen.items():
            (older if moment is not None and moment < at else newer).append((row_id, moment))
        return (
            Window(window.start, at, window.partition, tuple(older)),
            Window(at, window.end, window.partition, tuple(newer)),
        )


def page_of(answer: Mapping[str, Any]) -> Page:
    """Read the envelope ``{"data": […], "has_more": bool}``; a list without paging has no ``has_more``."""
    return Page(rows=answer["data"], has_more=bool(answer.get("has_more")))

"""Reads the event log, of which Close keeps 30 days.

https://developer.close.com/api/resources/events/list.md
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airbyte_cdk.sources.types import StreamSlice

from source_close.components.retriever import CloseRetriever
from source_close.cursor import WindowSlice
from source_close.errors import BAD_REQUEST, CloseApiError
from source_close.windows import MILLISECOND, Row, Window, floor_to_second, format_moment, moment_of, utc_now

_PAGES_BEFORE_SHARING = 2
# Each share costs up to a page more: a later sync, which most often has few, reads so many first.
_PAGES_BEFORE_SHARING_LATER = 20
_PAGES_WORTH_SHARING = 8


@dataclass
class EventLogRetriever(CloseRetriever):
    """Reads a window of the event log from its newest event to its oldest.

    The log has no offsets and one order, newest first; a page names the cursor of the next. The built-in
    ``CursorPagination`` repeats the date filter beside the cursor, which Close's documentation excepts, and cannot stop
    at a lower bound of its own where Close then ignores that filter. Nor can it cut what it asks for to the 30 days
    that Close keeps at the moment of asking.

    Attributes:
        lower_bound, upper_bound: the API's parameters for the window's start (inclusive) and end (exclusive).
    """

    lower_bound: str = ""
    upper_bound: str = ""

    def read_pages(self, being_read: WindowSlice) -> Iterator[list[Row]]:
        """Yield the window's events, newest first; the older half of a long one goes to another worker."""
        end, edge = being_read.window.end, set[str]()
        cursor: str | None = None
        pages = 0
        while True:
            try:
                answer = self.fetch(being_read, self._page(being_read.window, end, cursor))
            except CloseApiError as error:
                if not cursor or error.status != BAD_REQUEST or "cursor" not in error.text:
                    raise
                cursor = None  # it has expired: begin again at the oldest event so far
                continue
            pages += 1
            rows, cursor = answer["data"], answer.get("cursor_next")
            moments = [moment_of(row, self._cursor_field) for row in rows]
            window = being_read.window
            events = [
                row
                for row, moment in zip(rows, moments, strict=True)
                if row["id"] not in edge and (moment is None or window.contains(moment))
            ]
            if self.change_log is not None:
                self.change_log.feed(events)
            yield events
            oldest = min((moment for moment in moments if moment is not None), default=None)
            if cursor is None or (oldest is not None and oldest < window.start):
                return
            if oldest is not None:
                edge = {row["id"] for row, moment in zip(rows, moments, strict=True) if moment == oldest}
                end = oldest + MILLISECOND
                if pages >= (_PAGES_BEFORE_SHARING if self.cursor.is_first_sync else _PAGES_BEFORE_SHARING_LATER):
                    self._share(being_read, oldest, pages)

    def try_one(self, stream_slice: StreamSlice) -> None:
        """Ask for a single event."""
        self.fetch(stream_slice, {"_limit": 1})

    @property
    def _cursor_field(self) -> str:
        return self.cursor.cursor_field.cursor_field_key

    def _page(self, window: Window, end: datetime, cursor: str | None) -> dict[str, Any]:
        if cursor:
            return {"_cursor": cursor, "_limit": self.page_size}
        start = window.start
        if self.cursor.retention is not None:
            start = max(start, utc_now() - self.cursor.retention)
        bounds = {self.lower_bound: format_moment(start), self.upper_bound: format_moment(end)}
        return {**bounds, "_limit": self.page_size}

    def _share(self, being_read: WindowSlice, oldest: datetime, pages: int) -> None:
        """Hand out the older half of what is left, if it seems to be long; an estimate, for the log knows no counts."""
        window = being_read.window
        left, read = oldest - window.start, window.end - oldest
        if left * pages < read * _PAGES_WORTH_SHARING:
            return
        at = floor_to_second(window.start + left / 2)
        if window.start < at < oldest:
            self.cursor.split(being_read, Window(at, window.end), Window(window.start, at))

"""Reads leads through Advanced Filtering, the one endpoint that filters and sorts them by modification.

https://developer.close.com/api/resources/advanced-filtering.md
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from airbyte_cdk.models import FailureType
from airbyte_cdk.sources.types import StreamSlice

from source_close.components.retriever import CloseRetriever
from source_close.cursor import WindowSlice
from source_close.errors import BAD_REQUEST, CloseApiError
from source_close.windows import MILLISECOND, Row, Window, floor_to_second, format_moment, moment_of

# One chain of cursors gives out no more rows; what comes after is not documented, so a chain ends before.
_ROWS_A_CHAIN = 10_000
_ROWS_WORTH_SHARING = 4_000
_SHARE_OF_REQUESTS_FOR_COUNTS = 0.1


@dataclass
class SearchRetriever(CloseRetriever):
    """Reads a window in ascending order of the cursor field, and begins a new chain where one ends early.

    The built-in ``CursorPagination`` reads one chain: it stops at 10,000 rows and fails when a cursor has expired. With
    ``pagination_reset`` it begins again, but gives out the rows of the last moment twice.

    Attributes:
        object_type: the kind of object searched for.
        fields: the fields asked for; Close sends only ids otherwise.
        then_by: field to split by when one moment holds more rows than a chain.
    """

    object_type: str = ""
    fields: Sequence[str] = field(default_factory=list)
    then_by: str = "date_created"

    def read_pages(self, being_read: WindowSlice) -> Iterator[list[Row]]:
        """Yield the window's rows, oldest first; the newer part of a large window goes to another worker."""
        yield from self._read_range(being_read, self.cursor.cursor_field.cursor_field_key, [])

    def try_one(self, stream_slice: StreamSlice) -> None:
        """Ask for the id of a single row."""
        query = {"type": "object_type", "object_type": self.object_type}
        self.fetch(stream_slice, json={"query": query, "_limit": 1, "results_limit": 1})

    def _read_range(
        self, being_read: WindowSlice, by: str, conditions: list[dict[str, Any]], within: Window | None = None
    ) -> Iterator[list[Row]]:
        """Read the rows whose field ``by`` lies in the window, or in ``within``, and that meet ``conditions``.

        Close sorts by its search index, and the rows it sends may be newer than that: one edited just now stands where
        its old stamp belongs. So rows are known by their ids, and stamps are checked before a chain begins at one.
        """
        start, known = (within or being_read.window).start, set[str]()
        complete = False
        while not complete:
            window, chain, last_page = within or being_read.window, set[str](), list[Row]()
            for rows, is_last in self._chain(being_read, by, conditions, window, start):
                complete, last_page = is_last, rows
                chain.update(row["id"] for row in rows)
                yield [row for row in rows if row["id"] not in known]
                known.update(row["id"] for row in rows)
            if complete or (within is None and being_read.window.end < window.end):
                continue  # done, or shared: then the same start has a nearer end
            position = self._position(being_read, by, conditions, start, len(chain), last_page)
            if position == start:
                yield from self._read_moment(being_read, by, conditions, start, known)
                position = start + MILLISECOND
            start, known = position, chain

    def _position(
        self,
        being_read: WindowSlice,
        by: str,
        conditions: list[dict[str, Any]],
        start: datetime,
        given: int,
        last_page: list[Row],
    ) -> datetime:
        """The latest moment before which a chain from ``start`` has given out everything, as far as is known."""
        moments = sorted(moment for row in last_page if (moment := moment_of(row, by)) is not None)
        # A chain of one page begins where it began before: half of it is skipped, or reading would hardly get on.
        position = moments[len(moments) // 2 if given == len(last_page) else 0] if moments else start
        while position > start and self._count(being_read, by, conditions, start, position) > given:
            position = floor_to_second(start + (position - start) / 2)
        return max(position, start)

    def _chain(
        self,
        being_read: WindowSlice,
        by: str,
        conditions: list[dict[str, Any]],
        window: Window,
        start: datetime,
    ) -> Iterator[tuple[list[Row], bool]]:
        """Yield the pages of one chain of cursors; with each, whether it is the last page of the range."""
        body = self._body([*conditions, self._range(by, start, window.end)], by)
        cursor, given = None, 0
        while True:
            extra = {"cursor": cursor} if cursor else {"include_counts": window is being_read.window}
            try:
                answer = self.fetch(being_read, json={**body, **extra})
            except CloseApiError as error:
                if cursor and error.status == BAD_REQUEST and "cursor" in error.text:
                    return  # it has expired: the next chain begins where this one ended
                raise
            rows, cursor = answer["data"], answer.get("cursor")
            given += len(rows)
            yield rows, cursor is None and given < _ROWS_A_CHAIN
            total = (answer.get("count") or {}).get("total") or 0
            if cursor is None or given + self.page_size > _ROWS_A_CHAIN or self._share(being_read, by, total, start):
                return

    def _share(self, being_read: WindowSlice, by: str, total: int, start: datetime) -> bool:
        """Hand the newer part of a window of ``total`` rows to another worker, if it can be found in few requests."""
        if total < _ROWS_WORTH_SHARING:
            return False
        window = being_read.window
        low, high = start, window.end
        for _ in range(int(total / self.page_size * _SHARE_OF_REQUESTS_FOR_COUNTS)):
            at = floor_to_second(low + (high - low) / 2)
            if not low < at < high:
                break
            newer = self._count(being_read, by, [], at, window.end)
            if newer > total * 3 / 4:
                low = at
            elif newer < total / 4:
                high = at
            else:
                self.cursor.split(being_read, Window(window.start, at), Window(at, window.end))
                return True
        return False

    def _count(
        self, being_read: WindowSlice, by: str, conditions: list[dict[str, Any]], start: datetime, end: datetime
    ) -> int:
        """How many rows there are; 0 also where Close does not say."""
        body = self._body([*conditions, self._range(by, start, end)], by)
        body |= {"results_limit": 0, "include_counts": True}
        return int((self.fetch(being_read, json=body).get("count") or {}).get("total") or 0)

    def _read_moment(
        self, being_read: WindowSlice, by: str, conditions: list[dict[str, Any]], moment: datetime, known: set[str]
    ) -> Iterator[list[Row]]:
        """Read the rows of one moment that alone exceed a chain, by their other date."""
        if by == self.then_by:
            raise CloseApiError(
                message=(
                    f"Stream {self.name}: more than {_ROWS_A_CHAIN} records share the moment {format_moment(moment)}, "
                    "created and updated alike; Close's search gives out no more of them. The stream stops here rather "
                    "than to leave them out. Ask Close's support for help with this import."
                ),
                failure_type=FailureType.transient_error,
                stream=self.name,
            )
        at_moment = self._range(by, moment, moment + MILLISECOND)
        created = Window(datetime(1970, 1, 1, tzinfo=moment.tzinfo), being_read.window.end + timedelta(days=1))
        for rows in self._read_range(being_read, self.then_by, [*conditions, at_moment], created):
            yield [row for row in rows if row["id"] not in known]

    def _body(self, conditions: list[dict[str, Any]], by: str) -> dict[str, Any]:
        kind = {"type": "object_type", "object_type": self.object_type}
        return {
            "query": {"type": "and", "queries": [kind, *conditions]},
            "sort": [{"direction": "asc", "field": self._field(by)}],
            "_fields": {self.object_type: list(self.fields)},
            "_limit": self.page_size,
        }

    def _field(self, name: str) -> dict[str, str]:
        return {"type": "regular_field", "object_type": self.object_type, "field_name": name}

    def _range(self, by: str, start: datetime, end: datetime) -> dict[str, Any]:
        """The condition ``start <= by < end``."""
        bounds = {
            name: {"type": "fixed_utc", "value": format_moment(moment)}
            for name, moment in (("on_or_after", start), ("before", end))
        }
        return {"type": "field_condition", "field": self._field(by), "condition": {"type": "moment_range", **bounds}}

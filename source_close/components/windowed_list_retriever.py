"""Reads an offset list of any length: activities and tasks."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from airbyte_cdk.models import FailureType
from airbyte_cdk.sources.types import StreamSlice

from source_close.components.retriever import CloseRetriever
from source_close.cursor import WindowSlice
from source_close.errors import BAD_REQUEST, CloseApiError
from source_close.narrowing import Narrowing
from source_close.offset_pages import (
    OffsetPages,
    Page,
    SkipCapError,
    UnstableListError,
    page_of,
    skip_cap_in,
)
from source_close.windows import SECOND, Row, Window, floor_to_second, format_moment, moment_of

LOGGER = logging.getLogger("airbyte.source-close")

# A window is shared once this many of its pages are read, in parts of this many: small lists cost no extra request,
# and large ones soon keep every worker busy.
_PAGES_BEFORE_SHARING = 8
_PAGES_A_PART = 20


class SkipCap:
    """The largest ``_skip`` that a resource takes, as far as it is known. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = 0
        self._refused: int | None = None

    @property
    def value(self) -> int | None:
        """The largest skip that may still be taken; None while no request was refused."""
        return None if self._refused is None else self._refused - 1

    def takes(self, skip: int) -> None:
        """A request with ``skip`` was answered."""
        with self._lock:
            self._taken = max(self._taken, skip)

    def refuses(self, skip: int) -> None:
        """A request with ``skip`` was refused for it, or would be."""
        with self._lock:
            self._refused = skip if self._refused is None else min(skip, self._refused)

    def within_reach(self, skip: int) -> int:
        """``skip``, or less where that is unlikely to be answered."""
        with self._lock:
            return skip if self._refused is None else min(skip, (self._taken + self._refused) // 2)


@dataclass
class WindowedListRetriever(CloseRetriever):
    """Reads an offset list by windows of time that fit the API's skip cap, whatever it is.

    The built-in ``OffsetIncrement`` with ``SPLIT_REQUEST_WINDOW`` reads a window up to the cap, then both its halves
    from the start (2.6 times the rows for a cap of 2,000), gives up after ten halvings, and loses a row for each that
    is deleted meanwhile. Here both halves go on where the whole stopped.

    Example: a window of 9,000 rows under a cap of 1,500 becomes six of about 1,500 that several workers read.

    Attributes:
        lower_bound, upper_bound: the API's parameters for the window's start (inclusive) and end (exclusive).
        narrow_by: lists or filters that together hold what one second holds, for when that alone exceeds the cap.
        lead_parameter, leads_a_request: the filter by leads, for when one of those exceeds it too.
        lead_ids: yields the ids of all leads; given by the source.
    """

    lower_bound: str = ""
    upper_bound: str = ""
    narrow_by: Sequence[Mapping[str, Any]] = field(default_factory=list)
    lead_parameter: str = "lead_id"
    leads_a_request: int = 1
    lead_ids: Callable[[], Iterable[str]] = tuple

    def __post_init__(self, parameters: Mapping[str, Any]) -> None:
        """Begin without knowing the cap."""
        super().__post_init__(parameters)
        self._cap = SkipCap()

    def read_pages(self, being_read: WindowSlice) -> Iterator[list[Row]]:
        """Yield the window's rows; parts of a large window go to other workers."""
        unfinished = True
        while unfinished:
            unfinished = yield from self._read_until_split(being_read)

    def try_one(self, stream_slice: StreamSlice) -> None:
        """Ask for a single row."""
        self.fetch(stream_slice, {"_limit": 1})

    def _read_until_split(self, being_read: WindowSlice) -> Generator[list[Row], None, bool]:
        """Read the window; True when it was split, and what is left of it is still to be read."""
        window = being_read.window
        pages = OffsetPages(self._fetcher(being_read), self.page_size, self._cursor_field, window)
        share_after = window.share_after
        if share_after is None:
            share_after = len(window.head) + _PAGES_BEFORE_SHARING * self.page_size
        try:
            if share_after == 0 and self._share(being_read, pages):
                return True
            for rows in pages:
                yield rows
                if pages.has_more and len(pages.seen) >= share_after > 0:
                    share_after = 0
                    if self._share(being_read, pages):
                        return True
        except (SkipCapError, UnstableListError) as error:
            if self._split(being_read, pages):
                return True
            yield from self._read_narrowed(being_read, pages, error)
        return False

    @property
    def _cursor_field(self) -> str:
        return self.cursor.cursor_field.cursor_field_key

    def _fetcher(self, being_read: WindowSlice, path: str = "", narrowing: Mapping[str, Any] | None = None) -> Any:
        window = being_read.window
        bounds = {self.lower_bound: format_moment(window.start), self.upper_bound: format_moment(window.end)}

        def fetch(skip: int, limit: int) -> Page:
            if self._cap.value is not None and skip > self._cap.value:
                raise SkipCapError(self._cap.value)
            params = {**bounds, **(narrowing or {}), "_skip": skip, "_limit": limit}
            try:
                page = page_of(self.fetch(being_read, params, path=path))
            except CloseApiError as error:
                capped = skip_cap_in(error.text) if error.status == BAD_REQUEST and skip else None
                if capped is None:
                    raise
                if capped.cap is None:
                    self._cap.refuses(skip)
                else:
                    self._cap.takes(capped.cap)
                    self._cap.refuses(capped.cap + 1)
                raise capped from error
            self._cap.takes(skip)
            return page

        return fetch

    def _share(self, being_read: WindowSlice, pages: OffsetPages) -> bool:
        """Split off what follows the next part of the window, if anything does; True if the window is another now."""
        part = self._cap.within_reach(pages.position + _PAGES_A_PART * self.page_size) - pages.position
        if part < 2 * self.page_size:
            return False
        try:
            row = pages.row_at(pages.position + part)
        except SkipCapError:
            return self._share(being_read, pages)  # nearer: the refusal has told how far one may look
        moment = moment_of(row, self._cursor_field) if row else None
        at = floor_to_second(moment) if moment else None
        window = being_read.window
        if at is None or not window.start < at < window.end:
            return False
        self._keep_one_half(being_read, pages.divide(window, at), part)
        return True

    def _keep_one_half(self, being_read: WindowSlice, halves: tuple[Window, Window], part: int) -> None:
        """Go on with the half that has been read from, and hand out the other."""
        older, newer = halves
        if older.head or newer.head:
            newest_first = len(newer.head) >= len(older.head)
        else:
            newest_first = being_read.window.newest_first is not False
        own, other = (newer, older) if newest_first else (older, newer)
        enough = len(own.head) + part + 2 * self.page_size
        self.cursor.split(
            being_read,
            replace(own, share_after=enough, newest_first=newest_first),
            replace(other, share_after=len(other.head), newest_first=newest_first),
        )

    def _split(self, being_read: WindowSlice, pages: OffsetPages) -> bool:
        """Cut the window in two where the cap stopped the reader; False if it is only a second wide."""
        window = being_read.window
        # The last page may reach beyond the cap: what lies there is no part of the half that is read to its end.
        reached = list(pages.seen.values())[: self._cap.value]
        at = place_to_cut(window, [moment for moment in reached if moment is not None])
        if at is None:
            return False
        own, other = sorted(pages.divide(window, at), key=lambda half: len(half.head), reverse=True)
        self.cursor.split(being_read, own, other)
        return True

    def _read_narrowed(
        self, being_read: WindowSlice, pages: OffsetPages, cause: SkipCapError | UnstableListError
    ) -> Iterator[list[Row]]:
        """Read a second that holds more rows than the cap lets through, list by list."""
        window = being_read.window
        LOGGER.info(
            "Stream %s: more records at %s than one list gives out; reading it in parts.",
            self.name,
            format_moment(window.start),
        )
        narrowing = Narrowing(
            parts=self.narrow_by,
            lead_parameter=self.lead_parameter,
            leads_a_request=self.leads_a_request,
            lead_ids=self.lead_ids,
            pages_of=lambda path, parameters: OffsetPages(
                self._fetcher(being_read, path, parameters), self.page_size, self._cursor_field
            ),
        )
        emitted = set(pages.seen)
        try:
            for rows in narrowing.pages():
                yield [row for row in rows if row["id"] not in emitted]
                emitted.update(row["id"] for row in rows)
        except (SkipCapError, UnstableListError):
            raise self._out_of_reach(window) from cause

    def _out_of_reach(self, window: Window) -> CloseApiError:
        return CloseApiError(
            message=(
                f"Stream {self.name}: at {format_moment(window.start)} Close holds more records than its API gives out "
                f"(it skips {self._cap.value} at the most), even for a single lead. Nothing was skipped silently: the "
                "stream stops here. Ask Close's support for a higher limit, or begin after that moment (start_date)."
            ),
            failure_type=FailureType.transient_error,
            stream=self.name,
        )


def place_to_cut(window: Window, moments: Iterable[datetime]) -> datetime | None:
    """Where to cut ``window`` so that both halves are in reach, judged by the stamps read, in the list's order.

    Newest or oldest first: at the last one. In any other order: in the middle. Whole seconds only, since Close may read
    its date filters to the second. None if the window lies within one second.
    """
    seconds = [floor_to_second(moment) for moment in moments]
    inside = [second for second in seconds if window.start < second < window.end]
    if not inside:
        at = floor_to_second(window.start) + SECOND
        return at if at < window.end else None
    in_order = sorted(inside)
    if seconds in (sorted(seconds), sorted(seconds, reverse=True)):
        last = seconds[-1]
        return last if last in (in_order[0], in_order[-1]) and window.start < last else in_order[0]
    return in_order[len(in_order) // 2]

"""Find leads by Advanced Filtering: https://developer.close.com/api/resources/advanced-filtering.md."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from airbyte_cdk import DefaultPaginator, HttpRequester, StreamSlice

from source_close.api.errors import CloseApiError
from source_close.api.responses import Row, response_json
from source_close.dates import (
    LATENESS,
    MILLISECOND,
    SECOND,
    format_moment,
    moment_of,
    utc_now,
    whole_second,
)
from source_close.streams.records import RecordsByIds
from source_close.streams.windows import WindowRetriever

_MAX_ATTEMPTS = 5
_STUCK = (
    "Close's search does not get past the moment {moment}: {rows} or more records have it as "
    "date_updated, the records are not sorted by it, or each search ends early, repeats records "
    "or loses its cursor. The stream stops here, so that none is skipped. Ask Close's support for "
    "help."
)


class SearchAgainError(Exception):
    """A search has to be made again: its cursor has expired, or it may have skipped a row."""


@dataclass(frozen=True)
class Search:
    """A search for the rows whose cursor is in ``[start, end)``, in UTC.

    Attributes:
        start: inclusive.
        end: exclusive; that of the window.
        attempts: how many searches from this start were made again since the last new row.
        seen_before: the ids and cursors of the rows of those searches.
    """

    start: datetime
    end: datetime
    attempts: int = 0
    seen_before: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True)
class SearchPage:
    """A page of a search; before its first page, one without rows.

    Attributes:
        search: the search.
        rows: the page's rows.
        rows_so_far: how many positions of the search were shown, with those of this page.
        seen: their ids and cursors.
        token: that of the next page.
    """

    search: Search
    rows: Sequence[Row] = ()
    rows_so_far: int = 0
    seen: frozenset[tuple[str, str]] = frozenset()
    token: Mapping[str, Any] | None = None

    @property
    def is_confirmed(self) -> bool:
        """Whether the search has skipped no row so far.

        Between two pages of a search, an edited lead may leave it, which may hide another one, or
        leads of one moment may change places. So such a search is made again until it returns no
        new row. If it returns rows twice each time, all its searches must have as many rows as it.
        """
        if self.rows_so_far == len(self.rows):  # there is one page
            return True
        if len(self.seen) == self.rows_so_far:
            return self.search.attempts >= 1
        is_complete = len(self.seen | self.search.seen_before) >= self.rows_so_far
        return is_complete and self.search.attempts >= _MAX_ATTEMPTS


@dataclass(kw_only=True)
class LeadSearchRetriever(WindowRetriever):
    """Searches for the leads of a window in ascending order, and reads those of a page by ids.

    Close does not document what a search returns of a lead, so only its id and cursor are used.

    Each page is a new search, which begins at the last tenth of the page before. If it returns a
    known row first, no row is skipped. Only leads of one moment, of the last ten minutes, and of a
    page that is not sorted are paged by cursor. ``CursorPagination``, the built-in, stops at the
    10,000 rows of a chain of cursors, fails if a cursor has expired, and skips a row for each one
    that is edited meanwhile if cursors count positions, which Close does not document.

    Attributes:
        rows_per_chain: the number of rows after which Close ends a chain of cursors.
        by_ids: reads leads by their ids.
    """

    requester: HttpRequester
    paginator: DefaultPaginator
    rows_per_chain: int
    by_ids: RecordsByIds

    def read_window(self, start: datetime, end: datetime) -> Iterator[list[Row]]:
        """Yield the leads of a window, a page at a time."""
        known_ids = set[str]()
        page = self._first_page(Search(start, end))
        while True:
            new_rows = {row["id"]: row for row in page.rows if row["id"] not in known_ids}
            known_ids.update(new_rows)
            # One that another window has emitted was edited meanwhile: this search skipped none.
            if any(lead_id not in self._emitted for lead_id in new_rows):
                page = replace(page, search=replace(page.search, attempts=0))
            self._note_dates(new_rows)
            yield self._leads(list(new_rows))
            if self._is_last(page):
                return
            try:
                page = self._following_page(page, known_ids)
            except SearchAgainError:
                page = self._first_page(
                    replace(
                        page.search,
                        attempts=page.search.attempts + 1,
                        seen_before=page.search.seen_before | page.seen,
                    )
                )

    # The leads of a page. Only a request for a lead alone shows that it was deleted meanwhile.
    def _leads(self, ids: Sequence[str]) -> list[Row]:
        leads = self.by_ids.read(ids)
        missing_ids = [lead_id for lead_id in ids if lead_id not in leads]
        single_leads = [self.by_ids.read_single(lead_id) for lead_id in missing_ids]
        return [*leads.values(), *(lead for lead in single_leads if lead is not None)]

    # A lead may have been edited since. That must not move the cursor past leads that the index
    # shows later. The search may write dates without the fraction of a second.
    def _note_dates(self, rows: Mapping[str, Row]) -> None:
        with self._lock:
            for lead_id, row in rows.items():
                moment = moment_of(row, self.cursor_field)
                if moment is not None:
                    self._known_until[lead_id] = format_moment(moment + SECOND)

    # Whether a page ends its window. A full page should have a cursor, and may be cut short.
    def _is_last(self, page: SearchPage) -> bool:
        is_cut = page.rows_so_far >= self.rows_per_chain
        if page.token is not None or is_cut or not page.is_confirmed:
            return False
        return len(page.rows) < self._page_size() or page.search.attempts >= _MAX_ATTEMPTS

    # The page after another: by a new search or, if none begins with a known row, by the cursor.
    def _following_page(self, page: SearchPage, known_ids: set[str]) -> SearchPage:
        ends_chain = page.rows_so_far + self._page_size() > self.rows_per_chain
        following = self._new_search(page, known_ids, ends_chain=ends_chain)
        if following is None and page.token is not None and not ends_chain:
            return self._page_after(page)
        if following is None or not page.is_confirmed:
            raise SearchAgainError
        return following

    # A new search that begins with a known row of the page's last ones, None if there is none.
    def _new_search(
        self, page: SearchPage, known_ids: set[str], *, ends_chain: bool
    ) -> SearchPage | None:
        # Until the index shows an edit, Close sorts the lead by its date before the edit.
        # The index may sort by whole seconds.
        moments = self._moments(page, min(page.search.end, utc_now() - LATENESS))
        settled = [whole_second(moment) for moment in moments]
        if settled != sorted(settled):
            return None  # Close ignores the sort, so a new search would skip rows
        latest = _late_moment(settled, page) or page.search.start
        following = self._search_from_known_row(page, latest, known_ids)
        if following is None and ends_chain:
            end = page.search.end
            latest = _late_moment(self._moments(page, end), page) or end - MILLISECOND
            following = self._search_from_known_row(page, latest, known_ids)
        return following

    # The dates of a page's rows that are before ``limit``.
    def _moments(self, page: SearchPage, limit: datetime) -> list[datetime]:
        moments = [moment_of(row, self.cursor_field) for row in page.rows]
        return [moment for moment in moments if moment is not None and moment < limit]

    # A new search from ``latest`` or, if that does not begin with a known row, from before.
    def _search_from_known_row(
        self, page: SearchPage, latest: datetime, known_ids: set[str]
    ) -> SearchPage | None:
        earliest = page.search.start
        start = latest
        while start > earliest:
            following = self._page_after(SearchPage(Search(start, page.search.end)))
            if following.rows and following.rows[0]["id"] in known_ids:
                return following
            start = whole_second(earliest + (start - earliest) / 2)
        return None

    # The first page of a search, which is made again a few times.
    def _first_page(self, search: Search) -> SearchPage:
        for attempts in range(search.attempts, _MAX_ATTEMPTS + 1):
            with suppress(SearchAgainError):
                return self._page_after(SearchPage(replace(search, attempts=attempts)))
        text = _STUCK.format(moment=format_moment(search.start), rows=self.rows_per_chain)
        raise CloseApiError(self.name, text)

    # The page to which a page's token leads; without a token, the first page of its search.
    def _page_after(self, page: SearchPage) -> SearchPage:
        bounds = {
            "start_time": format_moment(page.search.start),
            "end_time": format_moment(page.search.end),
        }
        response = self.requester.send_request(
            stream_slice=StreamSlice(partition={}, cursor_slice=bounds),
            request_body_json=self.paginator.get_request_body_json(next_page_token=page.token),
        )
        if response is None or not response.ok:
            raise SearchAgainError  # the cursor has expired
        # A page may have a row twice, and begin with the last row instead of the one after it.
        rows = list({row["id"]: row for row in response_json(response)["data"]}.values())
        is_last_again = bool(rows and page.rows) and rows[0]["id"] == page.rows[-1]["id"]
        new_positions = len(rows) - 1 if is_last_again else len(rows)
        return replace(
            page,
            rows=rows,
            rows_so_far=page.rows_so_far + new_positions,
            seen=page.seen.union((row["id"], str(row.get(self.cursor_field))) for row in rows),
            token=self.paginator.next_page_token(response, len(rows), None, page.token),
        )

    def _page_size(self) -> int:
        return self.paginator.get_page_size() or 0


# The earliest of the dates of a page that are among those of its last tenth. A single row could
# show a newer date than the one by which the index sorts it.
def _late_moment(moments: Sequence[datetime], page: SearchPage) -> datetime | None:
    last_tenth = max(len(page.rows) // 10, 1)
    return min(moments[-last_tenth:], default=None)

"""Find leads by Advanced Filtering: https://developer.close.com/api/resources/advanced-filtering.md."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airbyte_cdk import DefaultPaginator, HttpRequester

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
from source_close.streams.windows import WindowRetriever, slice_of

_MAX_READINGS_WITHOUT_NEW_ROWS = 5
_STUCK = (
    "Close's search does not get past the moment {moment}: {rows} or more records have it as "
    "date_updated, or each search ignores dates, ends early, repeats records or loses its cursor. "
    "The stream stops here, so that none is skipped. Ask Close's support for help."
)


class StuckError(CloseApiError):
    """A search can't be read to its end, at least this time."""


@dataclass(frozen=True)
class Search:
    """A search for the rows whose cursor is in ``[start, end)``, in UTC.

    Attributes:
        start: inclusive.
        end: exclusive.
        gap_start: if set, the rows between it and ``start`` are known from the page of another
            search only. That page has skipped none of them if this search begins with a known row.
    """

    start: datetime
    end: datetime
    gap_start: datetime | None = None


@dataclass(kw_only=True)
class LeadSearchRetriever(WindowRetriever):
    """Searches for the leads of a window in ascending order, and reads those of a page by ids.

    Close does not document what a search returns of a lead, so only its id and cursor are used.

    1. A search whose leads are all on one page is complete.
    2. Otherwise the next search begins in the last tenth of that page. If its first row is known,
       no lead was skipped between the two, although leads may be edited meanwhile.
    3. If it is not known, or the page is not sorted, the time is split, and both parts searched.
    4. A second is not split. It is read by cursor until a reading shows no new lead, and so is a
       search whose page is not full and has a cursor that leads to no other rows.
    5. If that fails, the time is split down to a millisecond, after which the stream fails.

    ``CursorPagination``, the built-in, stops at the 10,000 rows of a chain of cursors, fails if a
    cursor has expired, and skips a row for each one that is edited between two pages if cursors
    count positions, which Close does not document.

    Attributes:
        rows_per_chain: the number of rows after which Close ends a chain of cursors.
        by_ids: reads leads by their ids.
    """

    requester: HttpRequester
    paginator: DefaultPaginator
    rows_per_chain: int
    by_ids: RecordsByIds

    def read_window(self, start: datetime, end: datetime) -> Iterator[tuple[list[Row], datetime]]:
        """Yield the leads of a window, a page at a time."""
        known_ids = set[str]()
        searches = [Search(start, end)]
        while searches:
            search = searches.pop()
            rows, token = self._page(search)
            begins_with_known_row = bool(rows) and rows[0]["id"] in known_ids
            if search.gap_start and not begins_with_known_row:
                searches += [
                    Search(search.start, search.end),
                    Search(search.gap_start, search.start),
                ]
                continue
            yield self._new_leads(search, rows, known_ids)
            if token is None and not self._is_full(rows):
                continue  # the page is the last one, while a full one may have been cut
            try:
                following = self._following_searches(search, rows, token)
                if not following:
                    yield from self._read_by_cursor(search, known_ids)
                searches += following
            except StuckError:
                middle = search.start + (search.end - search.start) / 2
                if middle < search.start + MILLISECOND:
                    raise
                searches += [Search(middle, search.end), Search(search.start, middle)]

    # The searches for what a page lacks, none if it has to be read by cursor. The last one is made
    # first. It is the earliest one, since an edit may move a lead to a later one meanwhile.
    def _following_searches(
        self, search: Search, rows: Sequence[Row], token: Mapping[str, Any] | None
    ) -> list[Search]:
        last_tenth = self._last_tenth(search, rows)
        if last_tenth:
            return [Search(last_tenth, search.end, gap_start=search.start)]
        if not self._is_full(rows) and not self._has_other_rows(search, rows, token):
            return []
        cut = self._cut(search, rows)
        if cut >= search.end:
            return []
        return [Search(cut, search.end), Search(search.start, cut)]

    def _is_full(self, rows: Sequence[Row]) -> bool:
        return len(rows) >= (self.paginator.get_page_size() or 0)

    # Whether the cursor of a page leads to other rows. It requests them: the last page may have a
    # cursor, too, and a page before it fewer rows than were requested.
    def _has_other_rows(
        self, search: Search, rows: Sequence[Row], token: Mapping[str, Any] | None
    ) -> bool:
        ids = {row["id"] for row in rows}
        following_rows, _ = self._page(search, token)
        return any(row["id"] not in ids for row in following_rows)

    # The second with which the last tenth of a page begins, None if the page may not be sorted. The
    # last row alone could show a newer date than the one by which the index sorts it.
    def _last_tenth(self, search: Search, rows: Sequence[Row]) -> datetime | None:
        # Until the index shows an edit, Close sorts the lead by its date before the edit.
        latest = utc_now() - LATENESS
        settled = [second for second in self._seconds(search, rows) if second < latest]
        if len(settled) * 2 <= len(rows) or settled != sorted(settled):
            return None
        # The next search has to begin later than this one, and a second may be in any order.
        earliest = max(settled[len(settled) // 10], search.start)
        last_tenth = settled[len(settled) * 9 // 10]
        return last_tenth if last_tenth > earliest else None

    # The second at which to split the time of a search: that of the last row or, if rows are not
    # sorted, the median. If the search has only one second, it is the end or later.
    def _cut(self, search: Search, rows: Sequence[Row]) -> datetime:
        first = whole_second(search.start)
        inside = [second for second in self._seconds(search, rows) if second >= first]
        cut = first + (search.end - first) / 2
        if inside:
            in_order = sorted(inside)
            cut = inside[-1] if inside == in_order else in_order[len(inside) // 2]
        cut = max(whole_second(cut), first + SECOND)
        if rows and not inside and cut >= search.end:
            raise self._stuck(search)  # Close ignores the dates: each search would have all rows
        return cut

    # The dates of a page's rows up to the second, as the index may sort by whole seconds, and Close
    # may truncate date filters. A lead that was edited meanwhile may be after the search.
    def _seconds(self, search: Search, rows: Sequence[Row]) -> list[datetime]:
        moments = [moment_of(row, self.cursor_field) for row in rows]
        return [whole_second(moment) for moment in moments if moment and moment < search.end]

    # Reads a search until a reading has no new row, and the readings since the last new row have
    # shown as many leads as this one has positions. Leads of one second may change places between
    # two pages, so that one is returned twice and another one never, and an edited one may leave
    # the search.
    def _read_by_cursor(
        self, search: Search, known_ids: set[str]
    ) -> Iterator[tuple[list[Row], datetime]]:
        seen_ids = set[str]()
        readings_without_new_rows = 0
        while readings_without_new_rows < _MAX_READINGS_WITHOUT_NEW_ROWS:
            known = len(known_ids)
            positions = 0
            with suppress(StuckError):
                for rows in self._pages(search):
                    positions += len(rows)
                    seen_ids.update(row["id"] for row in rows)
                    yield self._new_leads(search, rows, known_ids)
                if len(known_ids) == known and positions <= len(seen_ids) < self.rows_per_chain:
                    return
            readings_without_new_rows += 1
            if len(known_ids) > known:
                readings_without_new_rows = 0
                seen_ids.clear()
        raise self._stuck(search)

    def _pages(self, search: Search) -> Iterator[list[Row]]:
        rows, token = self._page(search)
        yield rows
        while token is not None:
            last_rows = rows[-1:]
            rows, token = self._page(search, token)
            # A cursor may lead to the last row instead of the one after it.
            yield rows[1:] if rows[:1] == last_rows else rows

    # The rows of a page, each once, and the token of the next page.
    def _page(
        self, search: Search, token: Mapping[str, Any] | None = None
    ) -> tuple[list[Row], Mapping[str, Any] | None]:
        response = self.requester.send_request(
            stream_slice=slice_of(search.start, search.end),
            request_body_json=self.paginator.get_request_body_json(next_page_token=token),
        )
        if response is None or not response.ok:
            raise self._stuck(search)  # the cursor has expired
        rows = list({row["id"]: row for row in response_json(response)["data"]}.values())
        return rows, self.paginator.next_page_token(response, len(rows), None, token)

    def _stuck(self, search: Search) -> StuckError:
        text = _STUCK.format(moment=format_moment(search.start), rows=self.rows_per_chain)
        return StuckError(self.name, text)

    # The new leads of a page, and the moment up to which it shows leads. A lead may have been
    # edited since: that must not move the cursor past leads that the index shows later.
    def _new_leads(
        self, search: Search, rows: Sequence[Row], known_ids: set[str]
    ) -> tuple[list[Row], datetime]:
        new_rows = {row["id"]: row for row in rows if row["id"] not in known_ids}
        known_ids.update(new_rows)
        leads = self.by_ids.read(list(new_rows), alone_if_missing=new_rows)
        latest = max(self._seconds(search, rows), default=search.end) + SECOND
        return list(leads.values()), latest

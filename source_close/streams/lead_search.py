"""Find leads by Advanced Filtering.

https://developer.close.com/api/resources/advanced-filtering.md
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from statistics import median_high
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
from source_close.streams.records_by_ids import RecordsByIds
from source_close.streams.windows import WindowRetriever, slice_of

_MAX_READINGS_WITHOUT_NEW_LEADS = 5
_FEWEST_IN_ORDER = 10  # fewer leads may be in order by chance
_STUCK = (
    "Close's search does not get past the moment {moment}: {rows} or more records have it as "
    "date_updated, all leads there are being edited, or each search ignores dates, ends early, "
    "repeats records or loses its cursor. The stream stops here, so that none is skipped. If it "
    "stops here again, ask Close's support for help."
)


class StuckError(CloseApiError):
    """A search can't be read to its end, at least this time."""


@dataclass(frozen=True)
class Search:
    """A search for the leads whose cursor is in ``[start, end)``, in UTC.

    Attributes:
        start: inclusive.
        end: exclusive.
        gap_start: if set, the leads between it and ``start`` are known from the page of another
            search only. That page has skipped none of them if this search begins with a known one.
    """

    start: datetime
    end: datetime
    gap_start: datetime | None = None

    def split(self, moment: datetime) -> list["Search"]:
        """Return the part from ``moment`` on, and the earlier part.

        The one at the end is searched first, since an edit may move a lead to the later part.
        """
        return [Search(moment, self.end), Search(self.start, moment)]


@dataclass(frozen=True)
class Page:
    """A page of a search.

    Attributes:
        ids: of its leads, each once.
        seconds: the dates of its leads without fractions, as the index may sort by whole seconds,
            and Close may truncate date filters. A lead that was edited meanwhile may be outside the
            search: its date is left out.
        token: leads to the next page, None if there is none.
        row_count: how many rows it has; several may be of one lead.
        is_full: whether it has as many rows as were requested. More may follow without a token.
    """

    ids: list[str]
    seconds: list[datetime]
    token: Mapping[str, Any] | None
    row_count: int
    is_full: bool

    def start_of_last_tenth(self) -> datetime | None:
        """Return the second with which the last tenth begins, where the next search can begin.

        The last lead alone won't do: if it was just edited, it may show a newer date than the one
        by which the index sorts it. The second is None if leads may not be sorted, or if the next
        search could have the same page.
        """
        # Until the index shows an edit, Close sorts the lead by its date before the edit.
        latest = utc_now() - LATENESS
        settled = [second for second in self.seconds if second < latest]
        is_sorted = len(settled) >= _FEWEST_IN_ORDER and settled == sorted(settled)
        if len(settled) * 2 <= len(self.ids) or not is_sorted:
            return None
        # Leads of one second may be in any order.
        end_of_first_tenth = settled[len(settled) // 10]
        start_of_last_tenth = settled[len(settled) * 9 // 10]
        return start_of_last_tenth if start_of_last_tenth > end_of_first_tenth else None

    def second_to_split_at(self) -> datetime:
        """Return the last second or, if leads are not sorted, the median."""
        is_sorted = self.seconds == sorted(self.seconds)
        return self.seconds[-1] if is_sorted else median_high(self.seconds)


@dataclass(kw_only=True)
class LeadSearchRetriever(WindowRetriever):
    """Searches for the leads of a window in ascending order, and reads those of a page by ids.

    1. A search whose leads are all on one page is complete.
    2. Otherwise the next search begins in the last tenth of that page. If its first lead is known,
       none was skipped between the two, although leads may be edited meanwhile.
    3. If it is not known, or the page is not sorted or too short to tell, the time is split, and
       both parts are searched.
    4. A second is read by cursor, at least twice, until a reading shows no new lead. So is a search
       whose page is not full and has a cursor that leads to no other leads.
    5. If that ends at the most rows or shows no end, if a cursor has expired, or if no lead of a
       page has a date in the search, the time is halved, down to a millisecond. Then the stream
       fails.

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
            page = self._page(search)
            if search.gap_start and known_ids.isdisjoint(page.ids[:1]):
                searches += Search(search.gap_start, search.end).split(search.start)
                continue
            yield self._read_new_leads(search, page, known_ids)
            if page.token is None and not page.is_full:
                continue
            try:
                following = self._following_searches(search, page)
                if not following:
                    yield from self._read_by_cursor(search, known_ids)
            except StuckError:
                middle = search.start + (search.end - search.start) / 2
                if middle < search.start + MILLISECOND:
                    raise
                second = whole_second(middle)
                following = search.split(second if second > search.start else middle)
            searches += following

    # The searches for what a page lacks, none if its search has to be read by cursor.
    def _following_searches(self, search: Search, page: Page) -> list[Search]:
        start = page.start_of_last_tenth()
        if start:
            return [Search(start, search.end, gap_start=search.start)]
        if not page.is_full and not self._next_page_has_other_leads(search, page):
            return []
        # A search within one second is not split here. But if no lead of its page has a date in it,
        # Close may ignore dates.
        next_second = whole_second(search.start) + SECOND
        if next_second >= search.end and (page.seconds or not page.ids):
            return []
        if not page.seconds:
            raise self._stuck(search)  # no date says where to split
        return search.split(max(page.second_to_split_at(), next_second))

    # The last page may have a cursor, too, and a page before it fewer leads than were requested.
    def _next_page_has_other_leads(self, search: Search, page: Page) -> bool:
        next_page = self._page(search, page.token)
        return not set(page.ids).issuperset(next_page.ids)

    # Reads a search at least twice, until a reading has no new lead and can't lack one: since the
    # last new lead, the readings have shown as many different leads as this one has positions.
    # Leads of one second may change places between two pages, so that one is returned twice and
    # another one never. An edited one may leave the search, which moves another lead to a page that
    # was read already; the next reading shows it.
    def _read_by_cursor(
        self, search: Search, known_ids: set[str]
    ) -> Iterator[tuple[list[Row], datetime]]:
        readings = list[list[str]]()  # the ids of those since the last new lead
        has_read_to_end = False
        while len(readings) < _MAX_READINGS_WITHOUT_NEW_LEADS:
            known = len(known_ids)
            row_count = 0
            positions = list[str]()
            readings.append(positions)
            with suppress(StuckError):
                for page in self._pages(search):
                    row_count += page.row_count
                    # A cursor may lead to the last lead instead of the one after it.
                    positions += page.ids[1:] if page.ids[:1] == positions[-1:] else page.ids
                    yield self._read_new_leads(search, page, known_ids)
                    # Close ends a chain of cursors here, and more leads may follow.
                    if row_count >= self.rows_per_chain:
                        raise self._stuck(search)
                shown = len(set().union(*readings))
                is_complete = len(positions) <= shown
                if has_read_to_end and len(known_ids) == known and is_complete:
                    return
                has_read_to_end = True
            if len(known_ids) > known:
                readings.clear()
        raise self._stuck(search)

    def _pages(self, search: Search) -> Iterator[Page]:
        page = self._page(search)
        yield page
        while page.token is not None:
            page = self._page(search, page.token)
            yield page

    def _page(self, search: Search, token: Mapping[str, Any] | None = None) -> Page:
        response: Any = self.requester.send_request(
            stream_slice=slice_of(search.start, search.end),
            request_body_json=self.paginator.get_request_body_json(next_page_token=token),
        )
        if not response.ok:
            raise self._stuck(search)  # the cursor has expired
        data = response_json(response)["data"]
        rows = {row["id"]: row for row in data}
        moments = [moment_of(row, self.cursor_field) for row in rows.values()]
        first = whole_second(search.start)
        return Page(
            ids=list(rows),
            seconds=[
                whole_second(moment)
                for moment in moments
                if moment and first <= moment < search.end
            ],
            token=self.paginator.next_page_token(response, len(rows), None, token),
            row_count=len(data),
            is_full=len(data) >= (self.paginator.get_page_size() or 0),
        )

    def _stuck(self, search: Search) -> StuckError:
        text = _STUCK.format(moment=format_moment(search.start), rows=self.rows_per_chain)
        return StuckError(self.name, text)

    # The new leads of a page, and the moment up to which it shows leads. A lead may have been
    # edited since: that must not move the cursor past leads that the index shows later.
    def _read_new_leads(
        self, search: Search, page: Page, known_ids: set[str]
    ) -> tuple[list[Row], datetime]:
        new_ids = [lead_id for lead_id in page.ids if lead_id not in known_ids]
        known_ids.update(new_ids)
        leads = self.by_ids.read(new_ids, alone_if_missing=new_ids)
        latest = max(page.seconds, default=search.end) + SECOND
        return list(leads.values()), latest

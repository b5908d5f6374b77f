"""Read leads by Advanced Filtering: https://developer.close.com/api/resources/advanced-filtering.md."""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airbyte_cdk import AirbyteTracedException, DefaultPaginator, HttpRequester, StreamSlice
from airbyte_cdk.sources.streams.concurrent.abstract_stream import AbstractStream

from source_close.api.errors import LOGGER, CloseApiError
from source_close.api.responses import Row, response_json
from source_close.dates import LATENESS, MILLISECOND, format_moment, moment_of, utc_now
from source_close.streams.custom_fields import BY_NAME, has_values_by_id, kinds_of, parts_of
from source_close.streams.records import RecordsByIds
from source_close.streams.windows import WindowRetriever

_MAX_ATTEMPTS = 5
_SEARCH_IS_INCOMPLETE = (
    "Stream %s: Close's search does not return everything of a lead. It lacks %s. Leads are read "
    "by their ids, which takes longer."
)
_STUCK = (
    "Close's search does not get past the moment {moment}: {rows} or more records have it as "
    "date_updated, or each search ends early. The stream stops here, so that none is skipped. Ask "
    "Close's support for help."
)


@dataclass
class SearchedLeads:
    """Completes the leads of a search, if the search does not return all of them.

    Close does not document which columns a search returns, nor the form of its custom values. Leads
    are compared with a read by ids: once if no lead has a column that was requested, and until no
    kind of custom field is open. The CDK has no component that compares responses.

    Attributes:
        by_ids: reads leads by their ids.
        fields: the stream of definitions of custom fields.
        places: the path of the values of each kind of field, ``[]`` for the lead.
        lead_fields: the columns that a search requests.
    """

    name: str
    by_ids: RecordsByIds
    fields: AbstractStream
    places: Mapping[str, Sequence[str]]
    lead_fields: Sequence[str]

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        # The kinds that have fields, for all we know, but no value in a search so far.
        self._open_kinds = set(self.places)
        self._comparisons = 0
        self._are_incomplete = False

    def complete(self, leads: list[Row]) -> list[Row]:
        """Return the leads of a page with all that a read by ids returns."""
        with self._lock:
            if leads and self._open_kinds and not self._are_incomplete:
                self._compare(leads)
        if not self._are_incomplete:
            return leads
        complete_leads = self.by_ids.read([lead["id"] for lead in leads])
        return [complete_leads.get(lead["id"], lead) for lead in leads]

    def _compare(self, leads: list[Row]) -> None:
        self._open_kinds -= self._kinds_with_values(leads)
        absent_columns = set[str]()
        if self._comparisons == 0:
            absent_columns = set(self.lead_fields).difference([BY_NAME], *leads)
        if self._comparisons == 1:
            # Leads without any value prove nothing, unless there are no fields.
            self._open_kinds &= self._kinds_with_fields()
        if not self._open_kinds and not absent_columns:
            return
        self._comparisons += 1
        complete_leads = self.by_ids.read([lead["id"] for lead in leads]).values()
        kinds = self._kinds_with_values(complete_leads) & self._open_kinds
        missing = {f"the custom values of the kind {kind}" for kind in kinds}
        missing |= {
            column for column in absent_columns if any(lead.get(column) for lead in complete_leads)
        }
        if missing:
            self._are_incomplete = True
            LOGGER.info(_SEARCH_IS_INCOMPLETE, self.name, ", ".join(sorted(missing)))

    def _kinds_with_values(self, leads: Iterable[Row]) -> set[str]:
        kinds = set[str]()
        for lead in leads:
            for kind, path in self.places.items():
                parts = parts_of(lead, path)
                if any(part.get(BY_NAME) or has_values_by_id(part) for part in parts):
                    kinds.add(kind)
        return kinds

    # All kinds, if the definitions can't be read.
    def _kinds_with_fields(self) -> set[str]:
        kinds = set[str]()
        try:
            for partition in self.fields.generate_partitions():
                if (partition.to_slice() or {})["object_type"] in {*self.places, "shared"}:
                    for record in partition.read():
                        kinds |= kinds_of(dict(record.data))
        except (AirbyteTracedException, AttributeError, TypeError):
            return set(self.places)
        return kinds


@dataclass
class SearchPage:
    """A page of a search; without rows, the search is yet to be made.

    Attributes:
        start: the moment from which the search returns rows, inclusive, in UTC.
        attempts: how many earlier searches from the same start ended early, without a new row.
        rows: the page's rows.
        rows_so_far: how many rows the search has returned, with this page.
        seen: their ids and cursors.
        token: that of the next page.
        is_full: whether Close may cut the next page.
        is_last: whether the search has returned all rows.
    """

    start: datetime
    attempts: int = 0
    rows: Sequence[Row] = ()
    rows_so_far: int = 0
    seen: frozenset[tuple[str, str]] = frozenset()
    token: Mapping[str, Any] | None = None
    is_full: bool = False
    is_last: bool = False

    @property
    def has_repetitions(self) -> bool:
        """Whether leads of one moment have changed places, and another may have been skipped."""
        return len(self.seen) < self.rows_so_far


@dataclass(kw_only=True)
class LeadSearchRetriever(WindowRetriever):
    """Reads a window in ascending order, with a new search for each page.

    A search begins at the last tenth of the page before. If it returns a known row first, no row
    is skipped. ``CursorPagination``, the built-in, stops at the 10,000 rows of a chain of cursors,
    fails if a cursor has expired, and skips a row for each one that is edited meanwhile if cursors
    count positions, which Close does not document.

    Attributes:
        rows_per_chain: the number of rows after which Close ends a chain of cursors.
    """

    requester: HttpRequester
    paginator: DefaultPaginator
    rows_per_chain: int
    leads: SearchedLeads

    def read_window(self, start: datetime, end: datetime) -> Iterator[list[Row]]:
        """Yield the rows of a window, a page at a time."""
        known_ids = set[str]()
        page = SearchPage(start)
        while not page.is_last:
            page = self._next_page(page, end, known_ids)
            new_rows = [row for row in page.rows if row["id"] not in known_ids]
            known_ids.update(row["id"] for row in new_rows)
            if new_rows:
                page.attempts = 0
            yield self.leads.complete(new_rows)

    def _next_page(self, page: SearchPage, end: datetime, known_ids: set[str]) -> SearchPage:
        following = self._following_page(page, end, known_ids)
        if following is not None:
            return following
        if page.attempts < _MAX_ATTEMPTS:
            return SearchPage(page.start, page.attempts + 1)
        if page.token is None and 0 < page.rows_so_far < self.rows_per_chain:
            # Several searches up to the end returned no new row.
            return SearchPage(page.start, is_last=True)
        text = _STUCK.format(moment=format_moment(page.start), rows=self.rows_per_chain)
        raise CloseApiError(self.name, text)

    # The page after another: by a new search or, if that does not begin with a known row, by the
    # cursor. None if neither is possible.
    def _following_page(
        self, page: SearchPage, end: datetime, known_ids: set[str]
    ) -> SearchPage | None:
        following = None
        if not page.has_repetitions:
            # Until the index shows an edit, Close sorts the lead by its date before the edit.
            latest = self._late_moment(page, min(end, utc_now() - LATENESS)) or page.start
            following = self._search_from_known_row(page, latest, end, known_ids)
        has_ended = page.token is None and page.rows_so_far > 0
        if following is None and not has_ended and not page.is_full:
            following = self._request(page, end)
        if following is None and page.is_full:
            latest = self._late_moment(page, end) or end - MILLISECOND
            following = self._search_from_known_row(page, latest, end, known_ids)
        return following

    # The earliest date of the last tenth of a page, before ``limit``. A single row could show a
    # newer date than the one by which the index sorts it.
    def _late_moment(self, page: SearchPage, limit: datetime) -> datetime | None:
        moments = [moment_of(row, self.cursor_field) for row in page.rows]
        earlier = [moment for moment in moments if moment is not None and moment < limit]
        return min(earlier[-max(len(page.rows) // 10, 1) :], default=None)

    # A new search that begins with a known row: from ``latest`` or, if that fails, from before.
    def _search_from_known_row(
        self, page: SearchPage, latest: datetime, end: datetime, known_ids: set[str]
    ) -> SearchPage | None:
        start = latest
        while start > page.start:
            following = self._request(SearchPage(start), end)
            if following and following.rows and following.rows[0]["id"] in known_ids:
                return following
            start = (page.start + (start - page.start) / 2).replace(microsecond=0)
        return None

    # The next page of the same search, None if its cursor has expired.
    def _request(self, page: SearchPage, end: datetime) -> SearchPage | None:
        bounds = {"start_time": format_moment(page.start), "end_time": format_moment(end)}
        response = self.requester.send_request(
            stream_slice=StreamSlice(partition={}, cursor_slice=bounds),
            request_body_json=self.paginator.get_request_body_json(next_page_token=page.token),
        )
        if response is None or not response.ok:
            return None
        rows = response_json(response)["data"]
        page_size = self.paginator.get_page_size() or 0
        rows_so_far = page.rows_so_far + len(rows)
        following = SearchPage(
            start=page.start,
            attempts=page.attempts,
            rows=rows,
            rows_so_far=rows_so_far,
            seen=page.seen.union((row["id"], str(row.get(self.cursor_field))) for row in rows),
            token=self.paginator.next_page_token(response, len(rows), None, page.token),
            is_full=rows_so_far + page_size > self.rows_per_chain,
        )
        is_whole = following.token is None and rows_so_far < self.rows_per_chain
        following.is_last = is_whole and len(rows) < page_size and not following.has_repetitions
        return following

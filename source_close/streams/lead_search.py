"""Read leads by Advanced Filtering: https://developer.close.com/api/resources/advanced-filtering.md."""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import requests
from airbyte_cdk import AirbyteTracedException, DefaultPaginator, HttpRequester, StreamSlice
from airbyte_cdk.sources.streams.concurrent.abstract_stream import AbstractStream

from source_close.api.errors import LOGGER, CloseApiError
from source_close.api.responses import Row, response_json
from source_close.dates import format_moment, moment_of
from source_close.streams.custom_fields import BY_NAME, has_values_by_id, kinds_of, parts_of
from source_close.streams.records import RecordsByIds
from source_close.streams.windows import WindowRetriever

_MAX_ATTEMPTS = 5
_SEARCH_IS_INCOMPLETE = (
    "Stream %s: Close's search does not return everything of a lead. It lacks %s. Leads are read "
    "by their ids, which takes longer."
)
_STUCK = (
    "Close's search does not get past the moment {moment}: more than {rows} records have it as "
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
class SearchChain:
    """A search from ``start`` on, with the pages that its cursors lead to.

    Attributes:
        start: inclusive, in UTC.
        known_ids: of the rows that an earlier chain has returned.
        attempts: how many earlier chains from the same start got no further.
        ids: of the rows of this chain.
        rows: how many rows it has returned.
        last_page: its last rows.
        is_complete: whether it has reached the end of the window.
    """

    start: datetime
    known_ids: set[str] = field(default_factory=set)
    attempts: int = 0
    ids: set[str] = field(default_factory=set)
    rows: int = 0
    last_page: list[Row] = field(default_factory=list)
    is_complete: bool = False


@dataclass(kw_only=True)
class LeadSearchRetriever(WindowRetriever):
    """Reads a window in ascending order, with a new search where a chain of cursors ends early.

    ``CursorPagination`` stops at the 10,000 rows of a chain and fails if a cursor has expired.
    ``pagination_reset`` skips rows, since the newest row may be ahead of the index that Close sorts
    by. ``rows_per_chain`` is the number of rows after which Close ends a chain.
    """

    requester: HttpRequester
    paginator: DefaultPaginator
    rows_per_chain: int
    leads: SearchedLeads

    def read_window(self, start: datetime, end: datetime) -> Iterator[list[Row]]:
        """Yield the rows of a window, a page at a time."""
        chain = SearchChain(start)
        yield from self._pages(chain, end)
        while not chain.is_complete:
            position = self._position(chain)
            attempts = chain.attempts + 1 if position == chain.start else 0
            # A full chain that gets no further never will; one that ended early may.
            is_full = attempts > 0 and self._may_be_cut(chain)
            if is_full or attempts == _MAX_ATTEMPTS:
                text = _STUCK.format(moment=format_moment(chain.start), rows=self.rows_per_chain)
                raise CloseApiError(self.name, text)
            known_ids = chain.ids | (chain.known_ids if attempts else set())
            chain = SearchChain(position, known_ids, attempts)
            yield from self._pages(chain, end)

    # The pages of a chain without the rows that an earlier one has returned.
    def _pages(self, chain: SearchChain, end: datetime) -> Iterator[list[Row]]:
        token = None
        while True:
            page = self.paginator.get_request_body_json(next_page_token=token)
            response = self._search(chain.start, end, **page)
            if response is None or not response.ok:  # the cursor has expired
                return
            rows = response_json(response)["data"]
            chain.ids.update(row["id"] for row in rows)
            chain.rows += len(rows)
            chain.last_page = rows
            new_rows = [row for row in rows if row["id"] not in chain.known_ids]
            yield self.leads.complete(new_rows)
            token = self.paginator.next_page_token(response, len(rows), None, token)
            chain.is_complete = token is None and chain.rows < self.rows_per_chain
            if token is None or self._may_be_cut(chain):
                return

    # Whether Close may cut the next page of a chain.
    def _may_be_cut(self, chain: SearchChain) -> bool:
        return chain.rows + (self.paginator.get_page_size() or 0) > self.rows_per_chain

    # The response to a search, a 400 if its cursor has expired.
    def _search(self, start: datetime, end: datetime, **body: Any) -> requests.Response | None:
        bounds = {"start_time": format_moment(start), "end_time": format_moment(end)}
        stream_slice = StreamSlice(partition={}, cursor_slice=bounds)
        return self.requester.send_request(stream_slice=stream_slice, request_body_json=body)

    # A moment before which a chain has every row, by Close's own count: the newest rows may be
    # ahead of the index. The first moment of a single page is near its start: take the median.
    def _position(self, chain: SearchChain) -> datetime:
        moments = [moment_of(row, self.cursor_field) for row in chain.last_page]
        known_moments = sorted(moment for moment in moments if moment is not None)
        is_single_page = len(chain.ids) == len(chain.last_page)
        index = len(known_moments) // 2 if is_single_page else 0
        position = known_moments[index] if known_moments else chain.start
        while position > chain.start:
            response = self._search(chain.start, position, results_limit=0, include_counts=True)
            count = response_json(response).get("count") or {}
            if int(count.get("total") or 0) <= len(chain.ids):
                return position
            position = (chain.start + (position - chain.start) / 2).replace(microsecond=0)
        return chain.start

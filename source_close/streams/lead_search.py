"""Read leads by Advanced Filtering: https://developer.close.com/api/resources/advanced-filtering.md."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import requests
from airbyte_cdk import StreamSlice

from source_close.api.errors import CloseApiError
from source_close.api.responses import Row, response_json
from source_close.dates import format_moment, moment_of
from source_close.streams.windows import WindowRetriever

_MAX_CHAINS_FROM_ONE_MOMENT = 5
_STUCK = (
    "Close's search does not get past the moment {moment}: more than {rows} records have it as "
    "date_updated, or each search ends early. The stream stops here, so that none is skipped. Ask "
    "Close's support for help."
)


@dataclass
class Chain:
    """A search from ``start`` on, with the pages that its cursors lead to.

    Attributes:
        start: inclusive, in UTC.
        known_ids: of the rows that an earlier chain has returned.
        ids: of the rows of this chain.
        rows: how many rows it has returned.
        last_page: its last rows.
        is_complete: whether it has reached the end of the window.
    """

    start: datetime
    known_ids: set[str]
    ids: set[str] = field(default_factory=set)
    rows: int = 0
    last_page: list[Row] = field(default_factory=list)
    is_complete: bool = False


@dataclass
class LeadSearchRetriever(WindowRetriever):
    """Reads a window in ascending order, with a new search where a chain of cursors ends early.

    ``CursorPagination`` stops at the 10,000 rows of a chain and fails if a cursor has expired.
    ``pagination_reset`` skips rows, since the newest row may be ahead of the index that Close sorts
    by. ``rows_per_chain`` is the number of rows after which Close ends a chain.
    """

    rows_per_chain: int = 10_000

    def read_window(self, start: datetime, end: datetime) -> Iterator[list[Row]]:
        """Yield the rows of a window, a page at a time."""
        chain = Chain(start, set())
        chains_from_start = 0
        while True:
            yield from self._pages(chain, end)
            if chain.is_complete:
                return
            position = self._position(chain)
            if position > chain.start:
                chain = Chain(position, chain.ids)
                chains_from_start = 0
                continue
            chains_from_start += 1
            if self._is_full(chain) or chains_from_start == _MAX_CHAINS_FROM_ONE_MOMENT:
                moment = format_moment(chain.start)
                text = _STUCK.format(moment=moment, rows=self.rows_per_chain)
                raise CloseApiError(self.name, text)
            chain = Chain(chain.start, chain.known_ids | chain.ids)

    def _pages(self, chain: Chain, end: datetime) -> Iterator[list[Row]]:
        """Yield the pages of a chain without the rows that an earlier one has returned."""
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
            yield [row for row in rows if row["id"] not in chain.known_ids]
            token = self.paginator.next_page_token(response, len(rows), None, token)
            chain.is_complete = token is None and chain.rows < self.rows_per_chain
            if token is None or self._is_full(chain):
                return

    def _is_full(self, chain: Chain) -> bool:
        """Return whether Close may cut the next page of a chain."""
        return chain.rows + (self.paginator.get_page_size() or 0) > self.rows_per_chain

    def _search(self, start: datetime, end: datetime, **body: Any) -> requests.Response | None:
        """Return the response to a search, a 400 if its cursor has expired."""
        bounds = {"start_time": format_moment(start), "end_time": format_moment(end)}
        stream_slice = StreamSlice(partition={}, cursor_slice=bounds)
        return self.requester.send_request(stream_slice=stream_slice, request_body_json=body)

    def _position(self, chain: Chain) -> datetime:
        """Return a moment before which a chain has every row, by Close's own count.

        The newest rows may be ahead of the index.
        """
        moments = [moment_of(row, self.cursor_field) for row in chain.last_page]
        known_moments = sorted(moment for moment in moments if moment is not None)
        if not known_moments:
            return chain.start
        position = known_moments[0]
        if len(chain.ids) == len(chain.last_page):
            # The first moment of a single page is at or near the start: hardly any progress.
            position = known_moments[len(known_moments) // 2]
        while position > chain.start:
            response = self._search(chain.start, position, results_limit=0, include_counts=True)
            count = response_json(response).get("count") or {}
            if int(count.get("total") or 0) <= len(chain.ids):
                return position
            position = (chain.start + (position - chain.start) / 2).replace(microsecond=0)
        return chain.start

"""Read leads by Advanced Filtering: https://developer.close.com/api/resources/advanced-filtering.md."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import requests
from airbyte_cdk import StreamSlice

from source_close.api.error_handler import CloseApiError, response_json
from source_close.dates import MILLISECOND, Row, format_moment, moment_of, parse_moment
from source_close.streams.windows import WindowRetriever


@dataclass
class LeadSearchRetriever(WindowRetriever):
    """Reads a window in ascending order, and starts a new search where a chain of cursors ends early.

    ``CursorPagination`` stops at the 10,000 rows of a chain and fails if a cursor has expired. ``pagination_reset``
    skips rows, since the newest row may be ahead of the index that Close sorts by. ``then_by`` is the second sort
    field, by which a moment with more than ``rows_per_chain`` rows is read.
    """

    then_by: str = ""
    rows_per_chain: int = 10_000

    def read_window(self, start: datetime, end: datetime, by: str = "", **within: str) -> Iterator[list[Row]]:
        """Yield rows with ``by`` (or the cursor field) in ``[start, end)``; ``within`` has bounds of another field."""
        by, known, is_complete = by or self.cursor_field, set[str](), False
        while not is_complete:
            chain, page = set[str](), list[Row]()
            for page, is_complete in self._chain({**within, **_bounds(by, start, end)}):  # noqa: B007 - used below
                chain.update(row["id"] for row in page)
                yield [row for row in page if row["id"] not in known]
            position = start if is_complete else self._position(by, start, within, len(chain), page)
            if position == start and not is_complete:  # one moment has more rows than a chain
                if by == self.then_by:
                    what = f"{self.rows_per_chain} records share the moment {format_moment(start)}"
                    problem = f"more than {what} in date_created and date_updated, and Close's search returns no more."
                    advice = "The stream stops here, so that none is skipped. Ask Close's support for help."
                    raise CloseApiError(self.name, f"{problem} {advice}")
                moment = {**within, **_bounds(by, start, start + MILLISECOND)}
                known |= chain
                first, last = parse_moment("1970-01-01"), end + timedelta(days=1)
                for rows in self.read_window(first, last, self.then_by, **moment):
                    yield [row for row in rows if row["id"] not in known]
                position += MILLISECOND
            start, known = position, chain

    def _chain(self, bounds: Mapping[str, str]) -> Iterator[tuple[list[Row], bool]]:
        """Yield the pages of one chain of cursors, each with whether it is the last page of the search."""
        token, given = None, 0
        while response := self._search(bounds, **self.paginator.get_request_body_json(next_page_token=token)):
            rows = response_json(response)["data"]
            given += len(rows)
            token = self.paginator.next_page_token(response, len(rows), None, token)
            yield rows, token is None and given < self.rows_per_chain
            if token is None or given + (self.paginator.get_page_size() or 0) > self.rows_per_chain:
                return

    def _search(self, bounds: Mapping[str, str], **body: Any) -> requests.Response | None:
        """Return the response to a search. For an expired cursor it is a 400, which counts as false."""
        stream_slice = StreamSlice(partition={}, cursor_slice=bounds)
        return self.requester.send_request(stream_slice=stream_slice, request_body_json=body)

    def _position(self, by: str, start: datetime, within: Mapping[str, str], given: int, page: list[Row]) -> datetime:
        """Return a moment before which a chain from ``start`` has returned every row, by Close's own count."""
        moments = sorted(moment for row in page if (moment := moment_of(row, by)) is not None)
        # A chain of one page has its first moment at or near ``start``: take the median, or the search hardly advances.
        position = moments[len(moments) // 2 if given == len(page) else 0] if moments else start
        while position > start:
            bounds = {**within, **_bounds(by, start, position)}
            count = response_json(self._search(bounds, results_limit=0, include_counts=True)).get("count") or {}
            if int(count.get("total") or 0) <= given:
                break
            position = (start + (position - start) / 2).replace(microsecond=0)
        return max(position, start)


def _bounds(by: str, start: datetime, end: datetime) -> Mapping[str, str]:
    return {f"{by}_from": format_moment(start), f"{by}_before": format_moment(end)}

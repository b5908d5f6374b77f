"""Reads leads by Advanced Filtering: https://developer.close.com/api/resources/advanced-filtering.md."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import requests
from airbyte_cdk import StreamSlice

from source_close.components.error_handler import CloseApiError, response_json
from source_close.components.window_retriever import WindowRetriever
from source_close.moments import MILLISECOND, Row, format_moment, moment_of, parse_moment


@dataclass
class SearchRetriever(WindowRetriever):
    """Reads a window in ascending order, and begins a new chain of cursors where one ends early.

    ``CursorPagination`` stops at the 10,000 rows of a chain and fails when a cursor has expired; ``pagination_reset``
    skips rows, as the newest may be ahead of the index that Close sorts by. By ``then_by`` the request sorts next, for
    moments with more than the ``rows_per_chain``.
    """

    then_by: str = ""
    rows_per_chain: int = 10_000

    def read_window(self, start: datetime, end: datetime, by: str = "", **within: str) -> Iterator[list[Row]]:
        """Yield the rows whose field ``by``, the cursor, lies in ``[start, end)``; ``within`` bounds another field."""
        by, known, is_complete = by or self.cursor_field, set[str](), False
        while not is_complete:
            chain, page = set[str](), list[Row]()
            for page, is_complete in self._chain({**within, **_bounds(by, start, end)}):  # noqa: B007 - the last counts
                chain.update(row["id"] for row in page)
                yield [row for row in page if row["id"] not in known]
            position = start if is_complete else self._position(by, start, within, len(chain), page)
            if position == start and not is_complete:  # one moment alone exceeds a chain
                if by == self.then_by:
                    what = f"{self.rows_per_chain} records share the moment {format_moment(start)}"
                    problem = f"more than {what}, created and updated alike; Close's search gives out no more of them."
                    advice = "The stream stops here rather than to leave them out. Ask Close's support for help."
                    raise CloseApiError(self.name, f"{problem} {advice}")
                moment = {**within, **_bounds(by, start, start + MILLISECOND)}
                known |= chain
                first, last = parse_moment("1970-01-01"), end + timedelta(days=1)
                for rows in self.read_window(first, last, self.then_by, **moment):
                    yield [row for row in rows if row["id"] not in known]
                position += MILLISECOND
            start, known = position, chain

    def _chain(self, bounds: Mapping[str, str]) -> Iterator[tuple[list[Row], bool]]:
        """Yield the pages of one chain of cursors; with each, whether it is the last page there is."""
        token, given = None, 0
        while answer := self._search(bounds, **self.paginator.get_request_body_json(next_page_token=token)):
            rows = response_json(answer)["data"]
            given += len(rows)
            token = self.paginator.next_page_token(answer, len(rows), None, token)
            yield rows, token is None and given < self.rows_per_chain
            if token is None or given + (self.paginator.get_page_size() or 0) > self.rows_per_chain:
                return

    def _search(self, bounds: Mapping[str, str], **body: Any) -> requests.Response | None:
        """The answer to a search; it counts as false if its cursor has expired, which the error handler passes on."""
        stream_slice = StreamSlice(partition={}, cursor_slice=bounds)
        return self.requester.send_request(stream_slice=stream_slice, request_body_json=body)

    def _position(self, by: str, start: datetime, within: Mapping[str, str], given: int, page: list[Row]) -> datetime:
        """The latest moment before which a chain from ``start`` has given out everything, as far as Close counts."""
        moments = sorted(moment for row in page if (moment := moment_of(row, by)) is not None)
        # A chain of one page begins where it began before: half of it is skipped, or reading would hardly get on.
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

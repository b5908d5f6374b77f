"""Page through a list by offset: https://developer.close.com/api/overview/pagination.md."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import requests
from airbyte_cdk import DefaultPaginator, HttpRequester, StreamSlice

from source_close.api.errors import CloseApiError, describe
from source_close.api.pages import OffsetPaginationStrategy
from source_close.api.responses import Row, response_json
from source_close.dates import moment_of

_MAX_STEPS_BACK = 25
_REFUSED = (
    "a request for a page of {size} records {text}. The connector knows no smaller page. Please "
    "report this message."
)


class OffsetsExhaustedError(Exception):
    """The rest of a list can't be read by offset.

    Close refuses so large a ``_skip``, or the order of the list keeps changing.
    """


@dataclass
class OffsetPages:
    """Reads a list in pages that overlap by one row, so that no row is lost while the list changes.

    ``SimpleRetriever`` with ``OffsetIncrement`` loses a row for each row that is removed from an
    earlier page, and its ``page_size_reduction`` is refused anew in each window.
    """

    name: str
    cursor_field: str
    requester: HttpRequester
    paginator: DefaultPaginator

    def read(
        self,
        seen: dict[str, datetime | None],
        window: StreamSlice,
        parameters: Mapping[str, Any],
        path: str | None = None,
    ) -> Iterator[list[Row]]:
        """Yield the new rows of each page, and add their ids and cursors to ``seen``.

        A page begins at the last row of the one before. If another row comes first, rows were
        removed or edited meanwhile: step back until a page begins with a known row. This needs most
        rows to keep their order.

        Args:
            seen: the rows that were read already, in the list's order; reading continues there.
            window: what the requester's templates call ``stream_slice``.
            parameters: of each request, besides those of the paginator.
            path: where the list is, below the requester's URL.

        Raises:
            OffsetsExhaustedError: if the list can't be read further.
            CloseApiError: if Close refuses even a small page.
        """
        offset = max(len(seen) - 1, 0)
        last_id = next(reversed(seen), None)
        steps_back = 0
        while True:
            response = self._request(offset, window, parameters, path)
            rows = response_json(response)["data"]
            known_ids = seen if steps_back else {last_id}  # an edit may move the last row
            overlaps = any(row["id"] in known_ids for row in rows[:1])
            if offset and not overlaps:
                steps_back += 1
                offset = self._step_back(offset, steps_back)
                continue
            new_rows = [row for row in rows if row["id"] not in seen]
            seen |= {row["id"]: moment_of(row, self.cursor_field) for row in new_rows}
            if new_rows:
                yield new_rows
                # Offset 0 always fits, so it proves no order.
                steps_back = 0 if offset else steps_back
            token = self.paginator.next_page_token(response, len(rows), None, offset)
            if token is None:
                return
            offset = token["next_page_token"]
            last_id = rows[-1]["id"] if rows else None

    def _step_back(self, offset: int, steps_back: int) -> int:
        if steps_back > _MAX_STEPS_BACK:
            raise OffsetsExhaustedError
        page_size = self.paginator.get_page_size() or 1
        step: int = page_size * 2 ** (steps_back - 1)
        return max(offset - step, 0)

    def _request(
        self, offset: int, window: StreamSlice, parameters: Mapping[str, Any], path: str | None
    ) -> requests.Response:
        page_size = self.paginator.get_page_size() or 1
        token = {"next_page_token": offset}
        page = self.paginator.get_request_params(next_page_token=token)
        response = self.requester.send_request(
            path=path, stream_slice=window, request_params={**parameters, **page}
        )
        if response is not None and "data" in response_json(response):
            return response
        if response is None or offset:
            raise OffsetsExhaustedError
        # Offset 0 always fits, so Close refused the page size.
        strategy = self.paginator.pagination_strategy
        if isinstance(strategy, OffsetPaginationStrategy) and strategy.reduce(page_size):
            return self._request(offset, window, parameters, path)
        raise CloseApiError(self.name, _REFUSED.format(size=page_size, text=describe(response)))

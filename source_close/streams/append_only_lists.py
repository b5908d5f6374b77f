"""Read lists that Close only appends to, activities and tasks, by offset.

https://developer.close.com/api/overview/pagination.md
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import requests
from airbyte_cdk import StreamSlice

from source_close.api.errors import LOGGER, CloseApiError
from source_close.api.responses import Row, response_json
from source_close.dates import format_moment, moment_of
from source_close.streams.windows import WindowRetriever

_MAX_STEPS_BACK = 25
_SECOND = timedelta(seconds=1)
_READING_BY_TYPE = (
    "Stream %s: too many records at %s for one list; reading that second type by type."
)
_OUT_OF_REACH = (
    "Close has more records at {moment} than its API returns, even if they are read type by type. "
    "The stream stops here, so that none is skipped. Ask Close's support for a higher limit, or "
    "set start_date to a later moment."
)


class OffsetsExhaustedError(Exception):
    """The rest of a window can't be read by offset.

    Close refuses so large a ``_skip``, or the order of the list keeps changing.
    """


@dataclass
class Window:
    """The rows of a list whose cursor is in ``[start, end)``, in UTC.

    Attributes:
        start: inclusive.
        end: exclusive.
        seen: id and cursor of each row that was read, in the API's order. Rows that were read in a
            wider window come first, since filters keep the order.
    """

    start: datetime
    end: datetime
    seen: dict[str, datetime | None] = field(default_factory=dict)

    def split(self) -> list["Window"]:
        """Return both halves, first the one with fewer rows read; none if it is within a second."""
        # The cut is at a whole second, since Close may truncate date filters.
        seconds = [moment.replace(microsecond=0) for moment in self.seen.values() if moment]
        inside = sorted(second for second in seconds if self.start < second < self.end)
        next_second = self.start.replace(microsecond=0) + _SECOND
        cut = inside[len(inside) // 2] if inside else next_second
        if cut >= self.end:
            return []
        older = Window(self.start, cut)
        newer = Window(cut, self.end)
        for row_id, moment in self.seen.items():
            half = older if moment and moment < cut else newer
            half.seen[row_id] = moment
        return sorted([older, newer], key=lambda half: len(half.seen))


@dataclass
class AppendOnlyListRetriever(WindowRetriever):
    """Reads a window in pages that overlap by one row, and splits it where offsets end.

    ``OffsetIncrement`` loses a row for each row that is removed from an earlier page.
    ``SPLIT_REQUEST_WINDOW`` reads each half from its start (2.6 times the rows at a maximum offset
    of 2,000) and splits ten times at most.

    Attributes:
        whole_list: ``path`` and ``parameters`` of the list of all types, both optional.
        lists_by_type: the same of each type, for a second with too many rows for the whole list.
    """

    whole_list: Mapping[str, Any] = field(default_factory=dict)
    lists_by_type: Sequence[Mapping[str, Any]] = field(default_factory=list)

    def read_window(self, start: datetime, end: datetime) -> Iterator[list[Row]]:
        """Yield the rows of a window, a page at a time."""
        windows = [Window(start, end)]
        while windows:
            window = windows.pop()
            try:
                yield from self._pages(window, self.whole_list)
            except OffsetsExhaustedError:
                parts = window.split()
                windows += parts
                if not parts:
                    yield from self._pages_by_type(window)

    def _pages(self, window: Window, part: Mapping[str, Any]) -> Iterator[list[Row]]:
        """Yield the new rows of each page, and add them to ``window.seen``.

        A page begins at the last row of the one before. If another row comes first, rows were
        removed or edited meanwhile: step back until a page begins with a known row. This needs most
        rows to keep their order.
        """
        offset = max(len(window.seen) - 1, 0)
        last_id = next(reversed(window.seen), None)
        steps_back = 0
        while True:
            response = self._request(window, part, offset)
            rows = response_json(response)["data"]
            known_ids = window.seen if steps_back else {last_id}  # an edit may move the last row
            overlaps = any(row["id"] in known_ids for row in rows[:1])
            if offset and not overlaps:
                steps_back += 1
                offset = self._step_back(offset, steps_back)
                continue
            new_rows = [row for row in rows if row["id"] not in window.seen]
            window.seen |= {row["id"]: moment_of(row, self.cursor_field) for row in new_rows}
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

    def _request(self, window: Window, part: Mapping[str, Any], offset: int) -> requests.Response:
        bounds = {"start_time": format_moment(window.start), "end_time": format_moment(window.end)}
        window_slice = StreamSlice(partition={}, cursor_slice=bounds)
        options = self.request_options_provider.get_request_params(stream_slice=window_slice)
        parameters = {**options, **part.get("parameters", {})}
        parameters |= self.paginator.get_request_params(next_page_token={"next_page_token": offset})
        response = self.requester.send_request(path=part.get("path"), request_params=parameters)
        if response is None or "data" not in response_json(response):  # Close refused the offset
            raise OffsetsExhaustedError
        return response

    # Reads a second with more rows than the offsets of the whole list reach.
    def _pages_by_type(self, window: Window) -> Iterator[list[Row]]:
        moment = format_moment(window.start)
        LOGGER.info(_READING_BY_TYPE, self.name, moment)
        for part in self.lists_by_type:
            try:
                for rows in self._pages(Window(window.start, window.end), part):
                    yield [row for row in rows if row["id"] not in window.seen]
                    window.seen.update((row["id"], None) for row in rows)
            except OffsetsExhaustedError:  # noqa: PERF203 - few lists
                raise CloseApiError(self.name, _OUT_OF_REACH.format(moment=moment)) from None

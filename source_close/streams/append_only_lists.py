"""Read activities and tasks by offset: https://developer.close.com/api/overview/pagination.md."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from airbyte_cdk import StreamSlice
from airbyte_cdk.sources.streams.concurrent.abstract_stream import AbstractStream as DeclarativeStream

from source_close.api.error_handler import CloseApiError, response_json
from source_close.api.sync import LOGGER
from source_close.dates import Row, format_moment, moment_of
from source_close.streams.windows import WindowRetriever

_MAX_STEPS_BACK, _NO_SUCH_LIST = 25, {404, 405}


class OffsetsExhaustedError(Exception):
    """The rest can't be read by offset: Close refuses so large a ``_skip``, or the order of the list keeps changing."""


@dataclass
class Window:
    """A part of a list: the rows whose cursor is in ``[start, end)``, in UTC."""

    start: datetime
    end: datetime
    # Id and cursor of each row read, in the API's order; rows read in a wider window first: filters keep the order.
    seen: dict[str, datetime | None] = field(default_factory=dict)
    reached: int = 0  # the last ``_skip`` that Close accepted

    def split(self) -> list["Window"]:
        """Return both halves, sorted by how many rows were read; an empty list if the window is within one second."""
        # The cut is at a whole second, as Close may truncate date filters: at the last row that offsets reach if the
        # list is in date order, else at the median of those rows.
        within_reach = list(self.seen.values())[: self.reached + 1 if self.reached else None]
        seconds = [moment.replace(microsecond=0) for moment in within_reach if moment is not None]
        inside = sorted(second for second in seconds if self.start < second < self.end)
        at = self.start.replace(microsecond=0) + timedelta(seconds=1)
        if inside:
            ends = {tuple(sorted(seconds)): inside[-1], tuple(sorted(seconds, reverse=True)): inside[0]}
            at = ends.get(tuple(seconds), inside[len(inside) // 2])
        older = {row_id: moment for row_id, moment in self.seen.items() if moment is not None and moment < at}
        newer = {row_id: moment for row_id, moment in self.seen.items() if row_id not in older}
        halves = [Window(self.start, at, {**older}), Window(at, self.end, newer)]
        return sorted(halves, key=lambda half: len(half.seen)) if at < self.end else []


@dataclass
class AppendOnlyListRetriever(WindowRetriever):
    """Reads a window in pages that overlap by one row, and splits the window where Close refuses a larger offset.

    ``OffsetIncrement`` loses a row for each row that is removed from an earlier page. ``SPLIT_REQUEST_WINDOW`` reads
    each half from its start (2.6 times the rows at a cap of 2,000) and splits ten times at most. If a second has too
    many rows, ``lists_by_type`` replace ``whole_list``. One of them that has too many, or is unknown, is read by lead.
    """

    whole_list: Mapping[str, Any] = field(default_factory=dict)
    lists_by_type: Sequence[Mapping[str, Any]] = field(default_factory=list)
    lead_parameter: str = "lead_id"
    leads_per_request: int = 1
    leads: DeclarativeStream | None = None

    def read_window(self, start: datetime, end: datetime) -> Iterator[list[Row]]:
        """Yield the rows of a window, a page at a time."""
        windows = [Window(start, end)]
        while windows:
            window = windows.pop()
            with suppress(OffsetsExhaustedError):
                yield from self._pages(window)
                continue
            windows += (halves := window.split())
            yield from () if halves else self._in_parts(window)

    def _pages(self, window: Window, part: Mapping[str, Any] | None = None) -> Iterator[list[Row]]:
        """Yield the new rows of each page and add them to ``window.seen``."""
        # When a row is removed from an earlier page, later rows move up and one would be skipped. So a page begins at
        # the last row of the one before. If another row comes first (even a known one: an edit may have moved it), rows
        # have moved: step back until a known row comes first. This needs most rows to keep their order.
        bounds = {"start_time": format_moment(window.start), "end_time": format_moment(window.end)}
        stream_slice, part = StreamSlice(partition={}, cursor_slice=bounds), part or self.whole_list
        params = dict(self.request_options_provider.get_request_params(stream_slice=stream_slice))
        params |= part.get("parameters", {})
        seen, page_size, steps_back, has_more = window.seen, self.paginator.get_page_size() or 1, 0, True
        position, last = max(len(seen) - 1, 0), next(reversed(seen), None)
        while has_more:
            page = self.paginator.get_request_params(next_page_token={"next_page_token": position})
            body = response_json(self.requester.send_request(path=part.get("path"), request_params={**params, **page}))
            if "data" not in body:  # Close refused the offset; the error handler accepts that
                raise OffsetsExhaustedError
            rows, has_more, window.reached = body["data"], bool(body.get("has_more")), position
            if position and not (rows and (rows[0]["id"] in seen if steps_back else rows[0]["id"] == last)):
                if (steps_back := steps_back + 1) > _MAX_STEPS_BACK:
                    raise OffsetsExhaustedError
                position, has_more = max(position - page_size * 2**steps_back // 2, 0), True
                continue
            new = [row for row in rows if row["id"] not in seen]
            seen.update((row["id"], moment_of(row, self.cursor_field)) for row in new)
            last = rows[-1]["id"] if rows else None
            if new:
                yield new
                steps_back = 0 if position else steps_back  # offset 0 always fits, so it proves no order
            position += max(len(rows) - 1, 1)

    def _in_parts(self, window: Window) -> Iterator[list[Row]]:
        """Read a second with more rows than offsets reach: by type, and if that is not enough by lead."""
        moment = format_moment(window.start)
        LOGGER.info("Stream %s: too many records at %s for one list; reading them by type.", self.name, moment)
        for part in self.lists_by_type:
            of_leads, leads_met = part, set[Any]()
            try:
                with suppress(OffsetsExhaustedError):
                    yield from self._new_rows(window, part, leads_met)
                    continue
            except CloseApiError as error:
                if error.status not in _NO_SUCH_LIST:
                    raise
                of_leads = self.whole_list
            partitions = self.leads.generate_partitions() if self.leads else ()
            lead_ids = [record["id"] for partition in partitions for record in partition.read()]
            if not leads_met.issubset(lead_ids):  # rows without a lead may be out of reach
                raise self._out_of_reach(moment)
            for first in range(0, len(lead_ids), self.leads_per_request):
                yield from self._of_leads(window, of_leads, lead_ids[first : first + self.leads_per_request])

    def _of_leads(self, window: Window, part: Mapping[str, Any], ids: Sequence[str]) -> Iterator[list[Row]]:
        parameters = {**part.get("parameters", {}), self.lead_parameter: ",".join(ids)}
        with suppress(OffsetsExhaustedError):
            yield from self._new_rows(window, {**part, "parameters": parameters}, set())
            return
        if len(ids) == 1:
            raise self._out_of_reach(format_moment(window.start))
        for half in (ids[: len(ids) // 2], ids[len(ids) // 2 :]):
            yield from self._of_leads(window, part, half)

    def _new_rows(self, window: Window, part: Mapping[str, Any], leads_met: set[str | None]) -> Iterator[list[Row]]:
        for rows in self._pages(Window(window.start, window.end), part):
            leads_met.update(row.get("lead_id") for row in rows)
            yield [row for row in rows if row["id"] not in window.seen]
            window.seen.update((row["id"], None) for row in rows)

    def _out_of_reach(self, moment: str) -> CloseApiError:
        problem = f"Close has more records at {moment} than its API returns, even if it is read by lead."
        advice = "Ask Close's support for a higher limit, or set start_date to a later moment."
        return CloseApiError(self.name, f"{problem} The stream stops here, so that none is skipped. {advice}")

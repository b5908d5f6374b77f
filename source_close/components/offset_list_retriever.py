"""Reads activities and tasks: https://developer.close.com/api/overview/pagination.md."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from airbyte_cdk import StreamSlice
from airbyte_cdk.sources.streams.concurrent.abstract_stream import AbstractStream as DeclarativeStream

from source_close.components.error_handler import CloseApiError, response_json
from source_close.components.window_retriever import WindowRetriever
from source_close.moments import Row, format_moment, moment_of
from source_close.sync import LOGGER

_MOST_STEPS_BACK = 25


class OffsetsExhaustedError(Exception):
    """What is left can't be had by offsets: Close refuses to skip so many rows, or the order is never the same."""


@dataclass
class Window:
    """The rows of a list stamped in ``[start, end)``, in UTC."""

    start: datetime
    end: datetime
    # Id and stamp of rows given out, in the API's order: those met in a wider window come first, as filters keep order.
    seen: dict[str, datetime | None] = field(default_factory=dict)
    reached: int = 0  # the last ``_skip`` that Close took

    def split(self) -> list["Window"]:
        """Both halves, the one that more was read of last; none if the window lies within one second."""
        # It is cut at whole seconds, as Close may read its date filters: if newest or oldest come first at the last row
        # within reach, otherwise in the middle of them.
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
class OffsetListRetriever(WindowRetriever):
    """Reads a window of an offset list in pages that overlap by a row, and cuts it where the API's skip cap ends it.

    ``OffsetIncrement`` loses a row for each that leaves a page already read; ``SPLIT_REQUEST_WINDOW`` reads halves anew
    (2.6 times the rows at a cap of 2,000), and no more than ten times. For seconds that exceed the cap the lists
    ``lists_by_type`` make up the ``whole_list``; one that exceeds it too, or is unknown, is read by ``leads``.
    """

    whole_list: Mapping[str, Any] = field(default_factory=dict)
    lists_by_type: Sequence[Mapping[str, Any]] = field(default_factory=list)
    lead_parameter: str = "lead_id"
    leads_per_request: int = 1
    leads: DeclarativeStream | None = None

    def read_window(self, start: datetime, end: datetime) -> Iterator[list[Row]]:
        """Yield the window's rows."""
        windows = [Window(start, end)]
        while windows:
            window = windows.pop()
            with suppress(OffsetsExhaustedError):
                yield from self._pages(window)
                continue
            windows += (halves := window.split())
            yield from () if halves else self._in_parts(window)

    def _pages(self, window: Window, part: Mapping[str, Any] | None = None) -> Iterator[list[Row]]:
        """Yield the new rows of page after page, and take note of them in ``window.seen``."""
        # A row that leaves a page already read moves later ones over the edge of the next. So each request begins with
        # the last row of the page before. If that is not first, rows may have slipped by: the reader steps back to a
        # known one (at first another known one won't do: an edit may have moved it). Most rows must keep their order.
        bounds = {"start_time": format_moment(window.start), "end_time": format_moment(window.end)}
        stream_slice, part = StreamSlice(partition={}, cursor_slice=bounds), part or self.whole_list
        params = dict(self.request_options_provider.get_request_params(stream_slice=stream_slice))
        params |= part.get("parameters", {})
        seen, page_size, steps_back, has_more = window.seen, self.paginator.get_page_size() or 1, 0, True
        position, last = max(len(seen) - 1, 0), next(reversed(seen), None)
        while has_more:
            page = self.paginator.get_request_params(next_page_token={"next_page_token": position})
            body = response_json(self.requester.send_request(path=part.get("path"), request_params={**params, **page}))
            if "data" not in body:  # the error handler has passed on the refusal of a skip
                raise OffsetsExhaustedError
            rows, has_more, window.reached = body["data"], bool(body.get("has_more")), position
            if position and not (rows and (rows[0]["id"] in seen if steps_back else rows[0]["id"] == last)):
                if (steps_back := steps_back + 1) > _MOST_STEPS_BACK:
                    raise OffsetsExhaustedError
                position, has_more = max(position - page_size * 2**steps_back // 2, 0), True
                continue
            new = [row for row in rows if row["id"] not in seen]
            seen.update((row["id"], moment_of(row, self.cursor_field)) for row in new)
            last = rows[-1]["id"] if rows else None
            if new:
                yield new
                steps_back = 0 if position else steps_back  # at the front any page fits, whatever the order
            position += max(len(rows) - 1, 1)

    def _in_parts(self, window: Window) -> Iterator[list[Row]]:
        """Read a second that holds more rows than the cap lets through, list by list, and if need be lead by lead."""
        moment = format_moment(window.start)
        LOGGER.info("Stream %s: more records at %s than one list gives out; reading it in parts.", self.name, moment)
        for part in self.lists_by_type:
            of_leads, leads_met = part, set[Any]()
            try:
                with suppress(OffsetsExhaustedError):
                    yield from self._new_rows(window, part, leads_met)
                    continue
            except CloseApiError as error:
                if not error.is_not_found:
                    raise
                of_leads = self.whole_list
            partitions = self.leads.generate_partitions() if self.leads else ()
            lead_ids = [record["id"] for partition in partitions for record in partition.read()]
            if not leads_met.issubset(lead_ids):  # where some have none, more such may lie behind the cap
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
        problem = f"at {moment} Close holds more records than its API gives out, even for a single lead."
        advice = "Ask Close's support for a higher limit, or begin after that moment (start_date)."
        return CloseApiError(self.name, f"{problem} The stream stops here rather than to leave them out. {advice}")

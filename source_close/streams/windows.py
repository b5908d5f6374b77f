"""Read the windows of a stream, and after the last one the changes of the event log."""

import threading
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from queue import Queue
from typing import Any

from airbyte_cdk import Config, Cursor, Record, RecordSelector, StreamSlice
from airbyte_cdk.sources.declarative.retrievers import Retriever
from airbyte_cdk.sources.streams.concurrent.partitions.partition import Partition

from source_close.api.responses import Row
from source_close.api.sync import Sync
from source_close.dates import LATENESS, format_moment, parse_moment, utc_now
from source_close.streams.event_log import EventLogChanges

_MAX_CLOCK_LAG = timedelta(days=1)  # by which this machine's clock may be behind Close's
# Records with this slice don't move the stream's cursor.
_NO_WINDOW = StreamSlice(partition={}, cursor_slice={})


def slice_of(start: datetime, end: datetime) -> StreamSlice:
    """Return the slice with which a request reads the window ``[start, end)``."""
    return StreamSlice(
        partition={},
        cursor_slice={"start_time": format_moment(start), "end_time": format_moment(end)},
    )


class WindowCursor:
    """A cursor that observes only the newest record of each window, and is otherwise ``cursor``.

    ``ConcurrentCursor``, the built-in, parses the date of each record, and computes the hash of its
    window as JSON: a quarter of the CPU time of a read of leads. The dates of a column have one
    form, except for the fraction of a second, so their texts compare as moments. If they do not,
    the state is too old, and the next sync reads more.
    """

    def __init__(self, cursor: Cursor, cursor_field: str) -> None:
        self._cursor = cursor
        self._cursor_field = cursor_field
        # The lists of custom_fields are read side by side, and their windows have one end.
        self._lock = threading.Lock()
        self._newest = dict[str, Record]()  # by the end of the window

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)

    def observe(self, record: Record) -> None:
        """Note a record if it is newer than those of its window before.

        A record from the end of its window or later does not count. It occurs in lists without a
        date filter, which also have what is edited while they are read: the other lists of the
        stream may have been read before that. In other streams, such a record has no window.
        """
        date = record.data.get(self._cursor_field)
        if not isinstance(date, str) or not date[:1].isdigit():
            self._cursor.observe(record)  # the CDK warns that it has no date
            return
        end = _end_of(record.associated_slice)
        with self._lock:
            newest = self._newest.get(end)
            if date < end and (newest is None or date > newest.data[self._cursor_field]):
                self._newest[end] = record

    def close_partition(self, partition: Partition) -> None:
        """Observe the newest record of a window that is complete, and close it."""
        with self._lock:  # the CDK's cursor of several lists observes without one
            newest = self._newest.pop(_end_of(partition.to_slice()), None)
            if newest is not None:
                self._cursor.observe(newest)
        self._cursor.close_partition(partition)


# The end of a slice, empty for ``_NO_WINDOW``: no date is before it.
def _end_of(stream_slice: Mapping[str, Any] | None) -> str:
    return str((stream_slice or {}).get("end_time", ""))


@dataclass
class WindowRetriever(Retriever):
    """Reads the window of a slice, and after the last window what no window shows.

    In a later sync these are the ``changes``. In a full refresh they are the records that were
    edited meanwhile: as their dates are after all windows, an overwritten table would lack them.

    ``SimpleRetriever``, the built-in, pages through a window in one way only, and can't read more
    when all windows are complete.
    """

    name: str
    cursor_field: str
    config: Config
    record_selector: RecordSelector
    changes: EventLogChanges | None = None

    def __post_init__(self) -> None:
        self._sync = Sync.of(self.config)
        if self.name not in self._sync.event_log_positions:
            self.changes = None  # the stream does not follow the log in this sync
        # An edit moves a record out of windows of date_updated, but not of date_created.
        is_moved_by_edits = self.cursor_field == "date_updated"
        self._reads_edits = is_moved_by_edits and self.name in self._sync.full_refreshes
        # Windows of all threads share what follows.
        self._open_windows = Queue[StreamSlice]()  # only to wait until all are done
        self._lock = threading.Lock()
        self._emitted = dict[str, str]()  # date_updated by id

    @abstractmethod
    def read_window(self, start: datetime, end: datetime) -> Iterator[tuple[list[Row], datetime]]:
        """Yield the pages of the rows whose cursor is in ``[start, end)``, in UTC, each row once.

        With each page comes a moment. A record with a later date belongs to no window.
        """

    def read_records(self, records_schema: Any, stream_slice: Any = None) -> Iterable[Record]:
        """Yield the records of a slice, and after the last window also what no window shows."""
        start = parse_moment(stream_slice["start_time"])
        end = parse_moment(stream_slice["end_time"])
        self._open_windows.put(stream_slice)
        try:
            for page, latest in self.read_window(start, end):
                rows = self._rows_to_emit(page)
                yield from self._records_of_window(rows, stream_slice, format_moment(latest))
        finally:
            self._open_windows.task_done()
        is_last_window = stream_slice["end_time"] == self._sync["end"]
        if is_last_window and (self.changes or self._reads_edits):
            # ``StreamInTurn`` hands out this window last. Without the wait until all others have
            # ended, a deletion could be emitted before its record.
            self._open_windows.join()
            for page in self._later_pages(end):
                yield from self.record_selector.filter_and_transform(page, {}, {}, _NO_WINDOW)

    # What the log reports or, in a full refresh, what is dated since ten minutes before ``end``.
    def _later_pages(self, end: datetime) -> Iterator[list[Row]]:
        if self.changes:
            yield from self.changes.read_pages(self._emitted)
            return
        # Close's index may have shown an edit before ``end`` late, after the last window was read.
        for page, _ in self.read_window(end - LATENESS, utc_now() + _MAX_CLOCK_LAG):
            yield self._rows_to_emit(page)

    # Notes the rows of a page, and returns those to emit. A full refresh emits each row once, as a
    # table that is overwritten would have it twice if an edit moves it to a later window meanwhile.
    def _rows_to_emit(self, page: list[Row]) -> list[Row]:
        if not self.changes and not self._reads_edits:
            return page  # nothing that is read later depends on it
        with self._lock:
            new_rows = [row for row in page if row["id"] not in self._emitted]
            self._emitted |= {row["id"]: str(row.get("date_updated") or "") for row in page}
        return new_rows if self._reads_edits else page

    # The records of a page. One that is after ``latest``, as Close's index lags, is of no window.
    def _records_of_window(
        self, page: list[Row], stream_slice: StreamSlice, latest: str
    ) -> Iterator[Record]:
        # Without a schema, the selector does not copy each record to bring it to its types.
        for record in self.record_selector.filter_and_transform(page, {}, {}, stream_slice):
            date = record.data.get(self.cursor_field)
            is_in_window = date is not None and str(date) <= latest
            yield record if is_in_window else Record(record.data, self.name, _NO_WINDOW)

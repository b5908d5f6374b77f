"""The base class of the retrievers that read a time window: it emits the records and then the changes."""

import threading
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airbyte_cdk import Config, DefaultPaginator, HttpRequester, Record, RecordSelector, StreamSlice
from airbyte_cdk.sources.declarative.requesters.request_options import RequestOptionsProvider
from airbyte_cdk.sources.declarative.retrievers import Retriever

from source_close.api.sync import Sync
from source_close.dates import Row, parse_moment
from source_close.streams.event_log import EventLogChanges

_NO_SCHEMA: Mapping[str, Any] = {}  # skips a check for normalization, a twentieth of a read; no value needs it


class ReadSlice(StreamSlice):
    """A slice that keeps its hash. The cursor hashes it for each record; ``StreamSlice`` serializes it each time."""

    def __init__(self, cursor_slice: Mapping[str, Any]) -> None:
        super().__init__(partition={}, cursor_slice=cursor_slice)
        self._hash = super().__hash__()

    def __hash__(self) -> int:
        return self._hash


@dataclass
class WindowRetriever(Retriever):
    """Reads a slice's window like ``SimpleRetriever``, and after the last window of a later sync the ``changes``."""

    name: str
    cursor_field: str
    config: Config
    requester: HttpRequester
    paginator: DefaultPaginator
    record_selector: RecordSelector
    request_options_provider: RequestOptionsProvider
    changes: EventLogChanges | None = None

    def __post_init__(self) -> None:
        self._window_closed, self._open_windows, self._emitted = threading.Condition(), 0, set[str]()
        self._sync = Sync.of(self.config)

    def read_records(self, records_schema: Any, stream_slice: StreamSlice | None = None) -> Iterable[Record]:
        """Yield the records of a slice, and after the last window also the ``changes``."""
        assert stream_slice is not None  # noqa: S101 - the stream has a datetime cursor
        changes = self.changes if self.name in self.config["event_log_positions"] else None
        with self._window_closed:
            self._open_windows += 1
        try:
            # Records newer than the window, as Close's index lags, get an empty slice: they must not move the cursor.
            read_slice, newer, by = ReadSlice(stream_slice.cursor_slice), ReadSlice({}), self.cursor_field
            start, end = stream_slice.cursor_slice.values()
            for rows in self.read_window(parse_moment(start), parse_moment(end)):
                if changes:
                    self._emitted.update(row["id"] for row in rows)  # each addition is atomic in CPython
                found = self.record_selector.filter_and_transform(rows, {}, _NO_SCHEMA, read_slice)
                records = [Record(one.data, self.name, newer) if str(one.data.get(by)) > end else one for one in found]
                with self._sync.emit_lock:  # twenty threads that contend for the CDK's queue are slower
                    yield from records
            if changes and self.config["end"] == end:
                with self._window_closed:  # else a deletion could be emitted before its record
                    self._window_closed.wait_for(lambda: self._open_windows == 1)
                for rows in changes.read_pages(self._emitted):
                    yield from self.record_selector.filter_and_transform(rows, {}, _NO_SCHEMA, newer)
        finally:
            with self._window_closed:
                self._open_windows -= 1
                self._window_closed.notify_all()

    @abstractmethod
    def read_window(self, start: datetime, end: datetime) -> Iterator[list[Row]]:
        """Yield the rows whose cursor is in ``[start, end)``, in UTC, a page at a time and each row once."""

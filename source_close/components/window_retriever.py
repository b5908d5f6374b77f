"""What the retrievers of windows have in common: records on their way, and the changes that follow the last window."""

import threading
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airbyte_cdk import Config, DefaultPaginator, HttpRequester, Record, RecordSelector, StreamSlice
from airbyte_cdk.sources.declarative.requesters.request_options import RequestOptionsProvider
from airbyte_cdk.sources.declarative.retrievers import Retriever

from source_close.components.changes_retriever import ChangesRetriever
from source_close.moments import Row, parse_moment

_NO_SCHEMA: Mapping[str, Any] = {}  # nothing is normalized, and to find that out takes a twentieth of the time
# One reader at a time hands over its page: twenty that contend for the CDK's queue take up to twice the time.
_EMIT_LOCK = threading.RLock()


class ReadSlice(StreamSlice):
    """A slice that keeps its hash: the cursor asks for that of each record, and the built-in writes JSON each time."""

    def __init__(self, cursor_slice: Mapping[str, Any]) -> None:
        super().__init__(partition={}, cursor_slice=cursor_slice)
        self._hash = super().__hash__()

    def __hash__(self) -> int:
        return self._hash


@dataclass
class WindowRetriever(Retriever):
    """Reads the window of a slice; after the last one of a later sync, by ``changes`` what the event log tells besides.

    The fields are as in ``SimpleRetriever``; ``request_options_provider`` knows the API's parameters for a window.
    """

    name: str
    cursor_field: str
    config: Config
    requester: HttpRequester
    paginator: DefaultPaginator
    record_selector: RecordSelector
    request_options_provider: RequestOptionsProvider
    changes: ChangesRetriever | None = None

    def __post_init__(self) -> None:
        self._window_closed, self._open_windows, self._emitted = threading.Condition(), 0, set[str]()

    def read_records(self, records_schema: Any, stream_slice: StreamSlice | None = None) -> Iterable[Record]:
        """Yield the records of the slice's window."""
        assert stream_slice is not None  # noqa: S101 - a datetime cursor makes slices
        changes = self.changes if self.name in self.config["event_log_positions"] else None
        with self._window_closed:
            self._open_windows += 1
        try:
            read_slice = ReadSlice(stream_slice.cursor_slice)
            start, end = (parse_moment(bound) for bound in stream_slice.cursor_slice.values())
            for rows in self.read_window(start, end):
                if changes:
                    self._emitted.update(row["id"] for row in rows)  # atomic: no other thread runs in between
                with _EMIT_LOCK:
                    yield from self.record_selector.filter_and_transform(rows, {}, _NO_SCHEMA, read_slice)
            if changes and self.config["end"] in stream_slice.cursor_slice.values():
                with self._window_closed:  # or a deletion might come before the row that it ends
                    self._window_closed.wait_for(lambda: self._open_windows == 1)
                # Of no window: rows may be stamped after the sync began and must not move the cursor.
                for rows in changes.read_pages(self._emitted):
                    yield from self.record_selector.filter_and_transform(rows, {}, _NO_SCHEMA, ReadSlice({}))
        finally:
            with self._window_closed:
                self._open_windows -= 1
                self._window_closed.notify_all()

    @abstractmethod
    def read_window(self, start: datetime, end: datetime) -> Iterator[list[Row]]:
        """Yield the rows stamped in ``[start, end)``, in UTC, each row once, a page at a time."""

"""What the streams' retrievers have in common."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from functools import cache
from typing import Any

from airbyte_cdk.sources.declarative.partition_routers.partition_router import PartitionRouter
from airbyte_cdk.sources.declarative.requesters.http_requester import HttpRequester
from airbyte_cdk.sources.declarative.retrievers.retriever import Retriever
from airbyte_cdk.sources.declarative.transformations import RecordTransformation
from airbyte_cdk.sources.streams.core import StreamData
from airbyte_cdk.sources.types import Config, StreamSlice

from source_close.changes import ChangeLog
from source_close.cursor import WindowCursor, WindowSlice
from source_close.endpoint import Endpoint
from source_close.page_queue import RecordPage
from source_close.refetch import DELETED_AT, Refetch
from source_close.transport import Transport
from source_close.windows import Row

LOGGER = logging.getLogger("airbyte.source-close")


@dataclass
class CloseRetriever(Retriever):
    """Reads the window of a slice page by page, through the transport that all streams share.

    The built-in ``SimpleRetriever`` loses a row for each one that leaves a page already read, cannot hand a part of
    its slice to another worker, and parses every answer two or three times.

    Attributes:
        requester: url, method, authenticator, parameters and error table of the stream, from the manifest.
        name: the stream's name.
        page_size: rows asked for in one request.
        transport: sends the requests; given by the source.
        cursor: knows the windows; given by the source.
        transformations: applied to every record, in this order.
        partition_router: names the partitions of the stream, if it has more than one.
        change_log: what the event log tells of this sync; given by the source where changes are captured.
        refetch: reads single records again by their ids; given by the source where changes are captured.
    """

    requester: HttpRequester
    config: Config
    name: str
    page_size: int
    transport: Transport
    cursor: WindowCursor
    parameters: InitVar[Mapping[str, Any]]
    transformations: Sequence[RecordTransformation] = field(default_factory=list)
    partition_router: PartitionRouter | None = None
    change_log: ChangeLog | None = None
    refetch: Refetch | None = None

    def __post_init__(self, parameters: Mapping[str, Any]) -> None:
        """Begin without an emitted record."""
        self._emitted: set[str] = set()
        self._endpoint_of = cache(self._make_endpoint)

    def read_records(
        self, records_schema: Mapping[str, Any], stream_slice: StreamSlice | None = None
    ) -> Iterable[StreamData]:
        """Yield pages of the records of the slice's window, which shrinks on the way if a part goes to another worker.

        Raises:
            CloseApiError: a request failed for good, the first of the stream. No window is handed out after that, and
                one that is being read ends without another error when its own requests fail.
        """
        if isinstance(stream_slice, WindowSlice) and self.cursor.has_failed:
            stream_slice.is_abandoned = True
            return
        try:
            for rows in self._pages(stream_slice):
                for row in rows:
                    if DELETED_AT not in row:
                        self._transform(row, stream_slice)
                yield RecordPage(rows, self.name, stream_slice)
        except BaseException as error:
            is_first = self.cursor.fail(error)
            if is_first or not isinstance(stream_slice, WindowSlice) or not isinstance(error, Exception):
                raise
            stream_slice.is_abandoned = True
            LOGGER.info("Stream %s: another part of it ended for the same reason, or another: %s", self.name, error)

    def _transform(self, row: Row, stream_slice: StreamSlice | None) -> None:
        for transformation in self.transformations:
            transformation.transform(row, self.config, {}, stream_slice)
        if self.refetch is not None:
            row[DELETED_AT] = None

    def _pages(self, stream_slice: StreamSlice | None) -> Iterator[list[Row]]:
        if isinstance(stream_slice, WindowSlice):
            for rows in self.read_pages(stream_slice):
                self.cursor.saw(rows)
                if self.cursor.brings_changes:
                    self._emitted.update(row["id"] for row in rows)  # atomic: no other thread runs in between
                yield rows
        elif self.change_log is not None and self.refetch is not None:
            changes = self.change_log.changes_of(self.name)
            if changes is not None:
                yield from self.refetch.pages(changes, self._emitted, self.cursor.cursor_field.cursor_field_key)
                self.cursor.changes_are_read()

    @abstractmethod
    def read_pages(self, being_read: WindowSlice) -> Iterable[list[Row]]:
        """Yield the rows of the window that is being read, each row once, a page at a time."""

    @abstractmethod
    def try_one(self, stream_slice: StreamSlice) -> None:
        """Send the cheapest request of the stream.

        Raises:
            CloseApiError: the stream can't be read.
        """

    def fetch(
        self,
        stream_slice: StreamSlice,
        params: Mapping[str, Any] | None = None,
        json: Mapping[str, Any] | None = None,
        path: str = "",
    ) -> Any:
        """Send one request of the stream and return the JSON of its answer, which has the rows under ``data``.

        ``params`` come on top of the manifest's; ``path`` is appended to the manifest's url.
        """
        endpoint = self._endpoint_of(tuple(stream_slice.partition.items()))
        return self.transport.fetch(endpoint, params, json, path)

    def _make_endpoint(self, partition: tuple[tuple[str, Any], ...]) -> Endpoint:
        stream_slice = StreamSlice(partition=dict(partition), cursor_slice={})
        return self.transport.endpoint(self.requester, self.name, stream_slice)

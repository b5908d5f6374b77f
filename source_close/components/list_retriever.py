"""Reads a list that has no date filter, and keeps what is new: users and custom fields."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from airbyte_cdk.sources.types import StreamSlice

from source_close.components.retriever import CloseRetriever
from source_close.cursor import WindowSlice
from source_close.definitions import FieldDefinitions
from source_close.offset_pages import OffsetPages, Page, page_of
from source_close.windows import Row, moment_of


@dataclass
class ListRetriever(CloseRetriever):
    """Reads a whole list and gives out the rows whose cursor value is not older than the window.

    The built-in client-side filter (``is_client_side_incremental``) also drops rows stamped after the sync began and
    stops a stream at a row without a stamp; both belong in a dimension table.
    """

    def read_pages(self, being_read: WindowSlice) -> Iterator[list[Row]]:
        """Yield the rows that changed since the window's start; all of them on a first sync."""
        cursor_field = self.cursor.cursor_field.cursor_field_key
        for rows in self.read_list(being_read):
            if self.cursor.is_first_sync:
                yield rows
                continue
            stamped = [(row, moment_of(row, cursor_field)) for row in rows]
            yield [row for row, moment in stamped if moment is None or moment >= being_read.window.start]

    def read_list(self, being_read: WindowSlice) -> Iterable[list[Row]]:
        """Yield the whole list, a page at a time."""

        def fetch(skip: int, limit: int) -> Page:
            return page_of(self.fetch(being_read, {"_skip": skip, "_limit": limit}))

        return OffsetPages(fetch, self.page_size, self.cursor.cursor_field.cursor_field_key)

    def try_one(self, stream_slice: StreamSlice) -> None:
        """Ask for a single row."""
        self.fetch(stream_slice, {"_limit": 1})


@dataclass
class CustomFieldsRetriever(ListRetriever):
    """Gives out the account's field definitions, of which others in the sync may have read some already.

    Attributes:
        definitions: the account's custom fields; given by the source.
    """

    definitions: FieldDefinitions | None = None

    def read_list(self, being_read: WindowSlice) -> Iterable[list[Row]]:
        """Yield the definitions of the slice's kind."""
        assert self.definitions is not None  # noqa: S101 - the source gives them
        return [[dict(row) for row in self.definitions.of(being_read["object_type"])]]

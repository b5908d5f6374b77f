"""Read lists that Close returns as a whole: users and custom fields."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airbyte_cdk import Record, RecordSelector, StreamSlice
from airbyte_cdk.sources.declarative.retrievers import Retriever

from source_close.api.errors import CloseApiError
from source_close.dates import parse_moment
from source_close.streams.offset_pages import OffsetPages, OffsetsExhaustedError


@dataclass
class WholeListRetriever(Retriever):
    """Reads a list that has no date filter, each row once.

    ``SimpleRetriever``, the built-in, can't read pages that overlap: ``OffsetPages`` says why. So
    this also does what ``is_client_side_incremental`` does there.
    """

    name: str
    pages: OffsetPages
    record_selector: RecordSelector

    def read_records(
        self, records_schema: Any, stream_slice: StreamSlice | None = None
    ) -> Iterable[Record]:
        """Yield the records of a slice whose cursor is in it or missing.

        Raises:
            CloseApiError: if the list keeps changing, or Close refuses to return it.
        """
        window = stream_slice or StreamSlice(partition={}, cursor_slice={})
        moments = dict[str, datetime | None]()
        try:
            for page in self.pages.read(moments, window, {}):
                rows = [row for row in page if _is_in_window(moments[row["id"]], window)]
                yield from self.record_selector.filter_and_transform(
                    rows, {}, records_schema, window
                )
        except OffsetsExhaustedError as error:
            raise CloseApiError(self.name, str(error)) from None


def _is_in_window(moment: datetime | None, window: StreamSlice) -> bool:
    if moment is None or "start_time" not in window:
        return True
    return parse_moment(window["start_time"]) <= moment < parse_moment(window["end_time"])

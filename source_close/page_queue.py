"""Takes records from the readers to the printer, a page at a time."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Sequence
from queue import Queue
from typing import Any

from airbyte_cdk.sources.types import Record, StreamSlice

from source_close.windows import Row


class RecordPage(Record):
    """The records of one page. The CDK lets pass what is a ``Record``.

    Attributes:
        rows: the records' data.
    """

    def __init__(self, rows: Sequence[Row], stream_name: str, associated_slice: StreamSlice | None) -> None:
        """Take what every record of the page has in common."""
        super().__init__({}, stream_name, associated_slice)
        self.rows = rows


class PrinterGoneError(Exception):
    """Nobody takes records out any more."""


class PageQueue(Queue[Any]):
    """A queue that takes pages, and gives out their records one after the other.

    The CDK puts record after record into a plain ``Queue``. Each one locks it on both sides and may wake the other
    thread: a tenth of the processor time of a full read. Everything else passes by as it is, in its place.

    Any thread may put, only one may get. ``maxsize`` and ``qsize`` count pages. Once it is closed, nobody waits for
    room any more and what is put is refused: readers end when the printer does.
    """

    def __init__(self, maxsize: int = 0) -> None:
        """Begin empty."""
        super().__init__(maxsize)
        self._page = RecordPage((), "", None)
        self._rows: deque[Row] = deque()
        self._is_closed = False

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:  # noqa: FBT001, FBT002 - as in Queue
        """Add a page, or anything else.

        Raises:
            PrinterGoneError: the queue is closed.
            Full: there is no room within ``timeout`` seconds, or at all where ``block`` is false.
        """
        if self._is_closed:
            raise PrinterGoneError
        super().put(item, block, timeout)

    def close(self) -> None:
        """Let go who waits for room, and refuse whatever comes; ``Queue.shutdown`` does so from Python 3.13 on."""
        with self.mutex:
            self._is_closed = True
            self.maxsize = sys.maxsize
            self.not_full.notify_all()

    def get(self, block: bool = True, timeout: float | None = None) -> Any:  # noqa: FBT001, FBT002 - as in Queue
        """The next record, or whatever else comes next."""
        while not self._rows:
            item = super().get(block, timeout)
            if not isinstance(item, RecordPage):
                return item
            self._page, self._rows = item, deque(item.rows)
        return Record(self._rows.popleft(), self._page.stream_name, self._page.associated_slice)

    def empty(self) -> bool:
        """Whether nothing is left, of the page that is being given out neither."""
        return not self._rows and super().empty()

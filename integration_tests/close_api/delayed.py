"""A collection that shows changes with a delay, as a search index or the event log does."""

import heapq
from collections.abc import Iterable

from .records import Collection, Record


class DelayedCollection:
    """A collection in which each change becomes visible at a given time (microseconds since 1970)."""

    def __init__(self) -> None:
        self.visible = Collection()
        self._pending: list[tuple[int, int, str, Record | None]] = []
        self._count = 0
        self._applied: dict[str, int] = {}

    def load(self, records: Iterable[Record]) -> None:
        """Add many records that are visible immediately."""
        self.visible.load(records)

    def put(self, record: Record, due: int, now: int) -> None:
        """Insert or replace a record; the change is visible from `due` on."""
        self._change(record.id, record, due, now)

    def remove(self, record_id: str, due: int, now: int) -> None:
        """Remove a record; the change is visible from `due` on."""
        self._change(record_id, None, due, now)

    def advance(self, now: int) -> None:
        """Make every change visible that is due."""
        while self._pending and self._pending[0][0] <= now:
            _, number, record_id, record = heapq.heappop(self._pending)
            # A later change of the same object is already visible, so this older change is skipped.
            if number < self._applied.get(record_id, 0):
                continue
            self._applied[record_id] = number
            self._apply(record_id, record)

    def _change(self, record_id: str, record: Record | None, due: int, now: int) -> None:
        self._count += 1
        if due <= now:
            self._applied[record_id] = self._count
            self._apply(record_id, record)
        else:
            heapq.heappush(self._pending, (due, self._count, record_id, record))

    def _apply(self, record_id: str, record: Record | None) -> None:
        if record is None:
            self.visible.remove(record_id)
        else:
            self.visible.put(record)

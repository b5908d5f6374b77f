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

    def change(self, record_id: str, record: Record | None, due: int, now: int) -> None:
        """Insert, replace or (if `record` is None) remove a record; the change is visible from `due` on."""
        self._count += 1
        heapq.heappush(self._pending, (due, self._count, record_id, record))
        self.advance(now)

    def advance(self, now: int) -> None:
        """Make every change visible that is due."""
        while self._pending and self._pending[0][0] <= now:
            _, number, record_id, record = heapq.heappop(self._pending)
            # A later change of the same object may already be visible.
            if number < self._applied.get(record_id, 0):
                continue
            self._applied[record_id] = number
            if record is None:
                self.visible.remove(record_id)
            else:
                self.visible.put(record)

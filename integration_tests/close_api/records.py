"""Stored objects and sorted collections of them."""

import heapq
import zlib
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import orjson

from .times import parse

Json = dict[str, Any]
# The attributes of records by which they are sorted; None is the order in which they were added.
Order = tuple[Literal["created", "updated", "id"], ...] | None
Key = tuple[Any, ...]

_CACHED_QUERIES = 256


class Record:
    """An object as the API shows it. A record is never changed in place: an edit replaces it.

    `raw` is its JSON, `created` and `updated` are microseconds since 1970, and `tie` orders records with equal stamps.
    `lead` is the id of the lead that the object is or belongs to.
    """

    __slots__ = ("created", "id", "kind", "lead", "lead_id", "raw", "tie", "type", "updated")

    def __init__(self, kind: str, data: Json, tie: int | None = None) -> None:
        """Store `data` as the object's JSON; `kind` is a name of `kinds.py`."""
        self.kind = kind
        self.id: str = data["id"]
        self.type: str | None = data.get("_type")
        self.lead_id: str | None = data.get("lead_id")
        self.lead = self.id if kind == "lead" else self.lead_id
        self.created = parse(data["date_created"])
        self.updated = parse(data["date_updated"])
        # Records with equal stamps get a stable order that follows neither their ids nor their order of insertion.
        self.tie = zlib.crc32(self.id.encode()) if tie is None else tie
        # The buffer of orjson's bytes is several times too large; the buffer of a copy has the right size.
        self.raw = bytes(memoryview(orjson.dumps(data)))

    def data(self) -> Json:
        """Return a new copy of the object, which the caller may change."""
        loaded: Json = orjson.loads(self.raw)
        return loaded

    def key(self, order: Order) -> Key:
        """Return what the record is sorted by; the key is empty in the order in which records were added."""
        if order is None:
            return ()
        return (*(getattr(self, name) for name in order), self.tie, self.id)


class Window(NamedTuple):
    """A window from `start` (inclusive) to `end` (exclusive) in microseconds; None is an open bound."""

    start: int | None = None
    end: int | None = None

    def __contains__(self, micros: object) -> bool:
        return (
            isinstance(micros, int)
            and (self.start is None or micros >= self.start)
            and (self.end is None or micros < self.end)
        )

    def meet(self, start: int | None = None, end: int | None = None) -> "Window":
        """Return the part of this window that is also within the other bounds."""
        starts = [bound for bound in (self.start, start) if bound is not None]
        ends = [bound for bound in (self.end, end) if bound is not None]
        return Window(max(starts, default=None), min(ends, default=None))


OPEN = Window()


@dataclass(frozen=True)
class Query:
    """A selection of records: those of these ids and types (None: all) whose stamps are in the windows."""

    order: Order
    newest_first: bool = False
    created: Window = OPEN
    updated: Window = OPEN
    ids: frozenset[str] | None = None
    types: frozenset[str] | None = None

    def matches(self, record: Record) -> bool:
        return (
            record.created in self.created
            and record.updated in self.updated
            and (self.ids is None or record.id in self.ids)
            and (self.types is None or record.type in self.types)
        )


class Collection:
    """Records by id. The results of queries are kept until the next change."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self._sorted: dict[Order, list[Record]] = {}
        self._results: dict[Query, list[Record]] = {}

    def load(self, records: Iterable[Record]) -> None:
        """Insert records, or replace those with the same ids."""
        self.records.update((record.id, record) for record in records)
        self._forget()

    def remove(self, record_id: str) -> None:
        self.records.pop(record_id, None)
        self._forget()

    def _forget(self) -> None:
        self._sorted.clear()
        self._results.clear()

    def select(self, query: Query) -> list[Record]:
        """Return the rows of a query, which the caller must not change."""
        if query not in self._results:
            if len(self._results) >= _CACHED_QUERIES:
                self._results.clear()
            rows = [record for record in self._candidates(query) if query.matches(record)]
            self._results[query] = rows[::-1] if query.newest_first else rows
        return self._results[query]

    def _candidates(self, query: Query) -> list[Record]:
        """Return the records in the order of the query: those of its ids or of its window by a stamp, or else all."""
        order = query.order
        if query.ids is not None and order is not None:
            found = [self.records[record_id] for record_id in sorted(query.ids & self.records.keys())]
            return sorted(found, key=lambda record: record.key(order))
        if order not in self._sorted:
            self._sorted[order] = sorted(self.records.values(), key=lambda record: record.key(order))
        rows = self._sorted[order]
        match order:
            case ("created", *_):
                return _between(rows, query.created, lambda record: record.created)
            case ("updated", *_):
                return _between(rows, query.updated, lambda record: record.updated)
            case _:
                return rows


def _between(rows: list[Record], window: Window, stamp: Callable[[Record], int]) -> list[Record]:
    first = 0 if window.start is None else bisect_left(rows, window.start, key=stamp)
    last = len(rows) if window.end is None else bisect_left(rows, window.end, key=stamp)
    return rows[first:last]


class DelayedCollection:
    """A collection in which each change becomes visible at a given time (microseconds since 1970)."""

    def __init__(self) -> None:
        self.visible = Collection()
        self._pending: list[tuple[int, int, str, Record | None]] = []
        self._count = 0
        self._applied: dict[str, int] = {}

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
                self.visible.load([record])

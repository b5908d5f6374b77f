"""Stored objects and sorted collections of them."""

import zlib
from bisect import bisect_left, insort
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

import orjson

from .times import parse

Key = tuple[int, int, str]
Json = dict[str, Any]

_CACHED_QUERIES = 256


class Record:
    """An object as the API shows it. A record is never changed in place: an edit replaces it.

    `raw` is its JSON, `created` and `updated` are microseconds since 1970, and `tie` orders records with equal stamps.
    """

    __slots__ = ("_trimmed", "created", "id", "kind", "lead_id", "raw", "tie", "type", "updated")

    def __init__(self, kind: str, data: Json, tie: int | None = None) -> None:
        """Store `data` as the object's JSON; `kind` is a name of `kinds.py`."""
        self.kind = kind
        self.id: str = data["id"]
        self.type: str | None = data.get("_type")
        self.lead_id: str | None = data.get("lead_id")
        self.created = parse(data["date_created"])
        self.updated = parse(data["date_updated"])
        # Records with equal stamps get a stable order that follows neither their ids nor their order of insertion.
        self.tie = zlib.crc32(self.id.encode()) if tie is None else tie
        # The buffer of orjson's bytes is several times too large; the buffer of a copy has the right size.
        self.raw = bytes(memoryview(orjson.dumps(data)))
        self._trimmed: tuple[tuple[str, ...], bytes] | None = None

    def data(self) -> Json:
        """Return a new copy of the object, which the caller may change."""
        loaded: Json = orjson.loads(self.raw)
        return loaded

    def trimmed(self, fields: tuple[str, ...], trim: Callable[[Json, tuple[str, ...]], Json]) -> bytes:
        """Return the JSON of the object cut to `fields` by `trim`; the last result is cached."""
        if self._trimmed is None or self._trimmed[0] != fields:
            self._trimmed = (fields, bytes(memoryview(orjson.dumps(trim(self.data(), fields)))))
        return self._trimmed[1]

    def key(self, stamp: str) -> Key:
        """Return the key of the record in the index of `stamp`, which is `created` or `updated`."""
        return (self.created if stamp == "created" else self.updated, self.tie, self.id)


class Window(NamedTuple):
    """A window from `start` (inclusive) to `end` (exclusive) in microseconds; None is an open bound."""

    start: int | None = None
    end: int | None = None

    def __contains__(self, micros: object) -> bool:
        """Return whether a stamp is in the window."""
        return (
            isinstance(micros, int)
            and (self.start is None or micros >= self.start)
            and (self.end is None or micros < self.end)
        )

    @property
    def is_open(self) -> bool:
        """Return whether both bounds are open."""
        return self.start is None and self.end is None

    def meet(self, start: int | None = None, end: int | None = None) -> "Window":
        """Return the part of this window that is also within the other bounds."""
        starts = [bound for bound in (self.start, start) if bound is not None]
        ends = [bound for bound in (self.end, end) if bound is not None]
        return Window(max(starts, default=None), min(ends, default=None))


OPEN = Window()


@dataclass(frozen=True)
class Query:
    """A selection of records and their order.

    `order` is `created`, `updated` (each with `-` for newest first), `id` or `inserted`, unless `arrange` is given.
    Results are cached by `name`: queries with different `where` or `arrange` must have different names.
    """

    order: str = "-created"
    created: Window = OPEN
    updated: Window = OPEN
    ids: tuple[str, ...] | None = None
    name: Hashable = None
    where: Callable[[Record], bool] | None = field(default=None, compare=False)
    arrange: Callable[[list[Record]], list[Record]] | None = field(default=None, compare=False)


class Span:
    """A range of sorted keys that can be read page by page. It is valid until the next change of the collection."""

    def __init__(self, records: dict[str, Record], keys: list[Key], window: Window, *, reverse: bool) -> None:
        """Select the keys whose first element is in `window`."""
        self._records = records
        self._keys = keys
        self._start = 0 if window.start is None else bisect_left(keys, (window.start, -1, ""))
        end = len(keys) if window.end is None else bisect_left(keys, (window.end, -1, ""))
        self._end = max(end, self._start)
        self._reverse = reverse

    def __len__(self) -> int:
        return self._end - self._start

    def page(self, skip: int, limit: int) -> list[Record]:
        """Return at most `limit` rows after the first `skip` rows."""
        if self._reverse:
            high = max(self._end - skip, self._start)
            keys = self._keys[max(high - limit, self._start) : high][::-1]
        else:
            low = min(self._start + skip, self._end)
            keys = self._keys[low : min(low + limit, self._end)]
        return [self._records[key[2]] for key in keys]

    def with_random_ties(self, random: Random) -> "Span":
        """Return the same rows, those with the same stamp in random order.

        The stamp of all keys is 0 in an order that follows no stamp, which is kept.
        """

        def shuffled(key: Key) -> tuple[int, float]:
            return key[0], random.random() if key[0] else 0

        keys = sorted(self._keys[self._start : self._end], key=shuffled)
        return Span(self._records, keys, OPEN, reverse=self._reverse)

    def rank(self, key: Key) -> int:
        """Return the number of rows before `key` in ascending order."""
        return min(max(bisect_left(self._keys, key) - self._start, 0), len(self))


class Collection:
    """Records by id, with an index on each stamp. An index is built on first use and kept sorted from then on."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self._indexes: dict[str, list[Key]] = {}
        self._cache: dict[Query, list[Key]] = {}

    def __len__(self) -> int:
        return len(self.records)

    def load(self, records: Iterable[Record]) -> None:
        """Add many records at once."""
        self.records.update((record.id, record) for record in records)
        self._indexes.clear()
        self._cache.clear()

    def put(self, record: Record) -> None:
        """Insert a record or replace the record with the same id."""
        self._unindex(record.id)
        self.records[record.id] = record
        for stamp, index in self._indexes.items():
            insort(index, record.key(stamp))

    def remove(self, record_id: str) -> None:
        """Remove a record if it exists."""
        self._unindex(record_id)
        self.records.pop(record_id, None)

    def _unindex(self, record_id: str) -> None:
        self._cache.clear()
        old = self.records.get(record_id)
        if old is not None:
            for stamp, index in self._indexes.items():
                del index[bisect_left(index, old.key(stamp))]

    def _index(self, stamp: str) -> list[Key]:
        index = self._indexes.get(stamp)
        if index is None:
            index = self._indexes[stamp] = sorted(record.key(stamp) for record in self.records.values())
        return index

    def select(self, query: Query) -> Span:
        """Return the rows of a query."""
        stamp = query.order.removeprefix("-")
        reverse = query.order.startswith("-")
        other = query.updated if stamp == "created" else query.created
        if stamp in {"created", "updated"} and other.is_open and self._is_plain(query):
            window = query.created if stamp == "created" else query.updated
            return Span(self.records, self._index(stamp), window, reverse=reverse)
        keys = self._cache.get(query)
        if keys is None:
            if len(self._cache) >= _CACHED_QUERIES:
                self._cache.clear()
            keys = self._cache[query] = self._filtered(query, stamp)
        return Span(self.records, keys, Window(), reverse=reverse and query.arrange is None)

    @staticmethod
    def _is_plain(query: Query) -> bool:
        return query.ids is None and query.where is None and query.arrange is None

    def _filtered(self, query: Query, stamp: str) -> list[Key]:
        rows = [
            record
            for record in self._candidates(query)
            if record.created in query.created
            and record.updated in query.updated
            and (query.where is None or query.where(record))
        ]
        if query.arrange is not None:
            return [(0, 0, record.id) for record in query.arrange(rows)]
        if stamp == "inserted":
            return [(0, 0, record.id) for record in rows]
        if stamp == "id":
            return sorted((0, 0, record.id) for record in rows)
        return sorted(record.key(stamp) for record in rows)

    def _candidates(self, query: Query) -> Iterable[Record]:
        if query.ids is not None:
            return [self.records[found] for found in dict.fromkeys(query.ids) if found in self.records]
        # Only the dictionary has the order of insertion, so the indexes cannot be used for it.
        if query.order != "inserted" or query.arrange is not None:
            for stamp, window in (("updated", query.updated), ("created", query.created)):
                if not window.is_open:
                    span = Span(self.records, self._index(stamp), window, reverse=False)
                    return span.page(0, len(span))
        return self.records.values()

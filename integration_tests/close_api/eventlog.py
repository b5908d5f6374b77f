"""The event log: it consolidates changes and shows events after a lag."""

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

import orjson

from .records import DelayedCollection, Json, Record
from .settings import Settings
from .times import DAY, HOUR, MILLISECOND, SECOND, iso_naive, parse
from .world import World

_MINUTE = 60 * SECOND
_KEPT = 30 * DAY
_STAMP_DELAY = 3 * MILLISECOND


@dataclass(frozen=True)
class Change:
    """One change of one object.

    `before` and `after` are the object's JSON: `before` is None for a new object, `after` is None for a deleted object.
    The fields in `ignored`, such as the children embedded in a lead, do not count as changed.
    """

    object_type: str
    object_id: str
    action: str
    lead_id: str | None
    before: Json | None = None
    after: Json | None = None
    meta: Json = field(default_factory=dict)
    ignored: AbstractSet[str] = frozenset()

    def changed_fields(self) -> list[str]:
        """Return the sorted names of the fields whose values differ; the list is empty for a new or deleted object."""
        if self.before is None or self.after is None:
            return []
        names = (self.before.keys() | self.after.keys()) - self.ignored
        return sorted(name for name in names if self.before.get(name) != self.after.get(name))

    def previous_data(self) -> Json:
        """Return the old values of the changed fields, or all fields of a deleted object."""
        if self.before is None:
            return {}
        if self.after is None:
            return self.before
        return {name: self.before.get(name) for name in self.changed_fields()}


class EventLog(DelayedCollection):
    """The events as records of kind `event`, in the order of the changes, also within one millisecond."""

    def __init__(self, settings: Settings, make_id: Callable[[str], str], world: World) -> None:
        """Start empty; `make_id` returns a new id for a prefix, and the owner of `world` makes the changes."""
        super().__init__()
        self._settings = settings
        self._make_id = make_id
        self._made = 0
        self._last: dict[str, Json] = {}
        self._world = world
        self._api_key_id = make_id("api")

    def oldest_kept(self, now: int) -> int:
        """Return the stamp, cut to a whole minute, from which on (inclusive) events are kept."""
        floor = now - _KEPT
        return floor - floor % _MINUTE

    def load_events(self, events: Iterable[Json]) -> None:
        """Add many events that are visible immediately; events with equal stamps keep the given order."""
        self.visible.load([self._record(event) for event in events])

    def odd(self, stamp: str, fields: Json) -> Json:
        """Return an event about a note that does not exist, with some fields replaced."""
        change = Change("activity.note", self._make_id("acti"), "updated", None)
        origin = dict.fromkeys(("user_id", "organization_id", "api_key_id", "request_id"))
        return {**event_json(change, event_id=self._make_id("ev"), stamp=stamp, origin=origin), **fields}

    def write(self, change: Change, now: int) -> None:
        """Log a change at `now`, or fold it into the last event of the object if that event is recent."""
        stamp = iso_naive(now + _STAMP_DELAY)
        last = self._last.get(change.object_id)
        if last is not None and self._folds(last, change, now):
            event = self._folded(last, change, stamp)
        else:
            event_id = self._make_id("ev")
            origin = {
                "user_id": self._world.me.id,
                "organization_id": self._world.organization_id,
                "api_key_id": self._api_key_id,
                "request_id": self._make_id("req"),
            }
            event = event_json(change, event_id=event_id, stamp=stamp, origin=origin)
        self._last[change.object_id] = event
        lag = self._settings.event_lag
        seconds = lag(event) if callable(lag) else lag
        self.change(event["id"], self._record(event), now + int(seconds * SECOND), now)

    def _folds(self, last: Json, change: Change, now: int) -> bool:
        return (
            change.action == last["action"] == "updated"
            and change.meta == _own_meta(last)
            and now - parse(last["date_updated"]) <= self._settings.event_consolidation * SECOND
        )

    @staticmethod
    def _folded(last: Json, change: Change, stamp: str) -> Json:
        return {
            **last,
            "date_updated": stamp,
            "changed_fields": sorted({*last["changed_fields"], *change.changed_fields()}),
            "data": change.after,
            "previous_data": {**change.previous_data(), **last["previous_data"]},
        }

    def _record(self, event: Json) -> Record:
        self._made += 1
        return Record("event", event, tie=self._made)

    def shown(self, record: Record, now: int) -> bytes:
        """Return the JSON of an event: after one hour, only admins may see `data` and `previous_data`."""
        if self._settings.admin or now - record.updated <= HOUR:
            return record.raw
        event = record.data()
        for name in ("data", "previous_data"):
            if self._settings.event_data_for_non_admin == "missing":
                event.pop(name)
            else:
                event[name] = None
        return orjson.dumps(event)


def _own_meta(event: Json) -> Json:
    return {name: value for name, value in event["meta"].items() if not name.startswith("request_")}


_METHODS = {"created": "POST", "deleted": "DELETE", "merged": "POST"}


def event_json(change: Change, *, event_id: str, stamp: str, origin: Json) -> Json:
    """Return the event of a change; `origin` tells who made it, by user, API key, OAuth app and request."""
    return {
        "id": event_id,
        "date_created": stamp,
        "date_updated": stamp,
        "object_type": change.object_type,
        "object_id": change.object_id,
        "action": change.action,
        "lead_id": change.lead_id,
        "changed_fields": change.changed_fields(),
        "data": change.after,
        "previous_data": change.previous_data(),
        "meta": {"request_method": _METHODS.get(change.action, "PUT"), "request_path": "/api/v1/", **change.meta},
        "oauth_client_id": None,
        "oauth_scope": None,
        **origin,
    }

"""Functions that fill a store with any number of objects of every kind."""

from dataclasses import dataclass
from datetime import datetime
from itertools import cycle, islice

from .eventlog import Change, event_json
from .factory import Period
from .kinds import ACTIVITY_PATHS, CUSTOM_FIELD_OBJECTS, KINDS, event_type
from .maker import Maker
from .records import Json, Record
from .store import Store
from .times import DAY, MILLISECOND, iso, iso_naive, to_micros
from .world import World

_BATCH = 3_000
_FUTURE_MEETING_SHARE = 0.2
_MEETINGS_AHEAD = 30 * DAY
_RETENTION = 30 * DAY
_CONTACTS_PER_LEAD = (0, 2)
_EVENT_ACTIONS = ("created", "updated", "updated", "updated", "deleted")


@dataclass(frozen=True)
class Volumes:
    """The number of objects of each kind; `custom_fields` is the number in each of the six lists."""

    activities: int = 0
    leads: int = 0
    tasks: int = 0
    events: int = 0
    users: int = 1
    custom_fields: int = 0


def populate(store: Store, volumes: Volumes, start: datetime, end: datetime) -> None:
    """Create objects with creation dates in [start, end); the events are in the last 30 days of this period.

    A fifth of the meetings start up to 30 days after `end`, and their `date_created` is their start.
    """
    period = Period(to_micros(start), to_micros(end) // MILLISECOND * MILLISECOND)
    with store.lock:
        make = store.factory.make
        store.load("user", [make("user", period, {}) for _ in range(volumes.users)])
        for object_type in CUSTOM_FIELD_OBJECTS:
            kind = f"custom_field.{object_type}"
            store.load(kind, [make(kind, period, {}) for _ in range(volumes.custom_fields)])
        _load_leads(store, volumes.leads, period)
        store.load("task", [make("task", period, {}) for _ in range(volumes.tasks)])
        _load_activities(store, volumes.activities, period)
        kept = Period(max(period.start, period.end - _RETENTION), period.end)
        store.events.load_events(_events(store, volumes.events, kept))


def _load_activities(store: Store, count: int, period: Period) -> None:
    """Load activities of all types in turn, in batches: after each batch only the JSON bytes stay in memory."""
    kinds = cycle(ACTIVITY_PATHS)
    for begin in range(0, count, _BATCH):
        made: dict[str, list[Json]] = {}
        for kind in islice(kinds, min(_BATCH, count - begin)):
            fields = _future_meeting(store, period) if kind == "Meeting" else {}
            made.setdefault(kind, []).append(store.factory.make(kind, period, fields))
        for kind, activities in made.items():
            store.load(kind, activities)


def _future_meeting(store: Store, period: Period) -> Json:
    """For some meetings, return dates of a meeting after the period; its `date_created` is its start."""
    maker = store.factory.maker
    if not maker.chance(_FUTURE_MEETING_SHARE):
        return {}
    start = maker.stamp(period.end, period.end + _MEETINGS_AHEAD)
    return {"date_created": iso(start), "date_updated": iso(maker.stamp(period.start, period.end))}


def _load_leads(store: Store, count: int, period: Period) -> None:
    maker = store.factory.maker
    make = store.factory.make
    leads = [make("lead", period, {}) for _ in range(count)]
    contacts: list[Json] = []
    opportunities: list[Json] = []
    for lead in leads:
        number = maker.number(*_CONTACTS_PER_LEAD)
        own = [make("contact", period, {"lead_id": lead["id"]}) for _ in range(number)]
        contacts += own
        if maker.chance(0.5):
            fields = {"lead_id": lead["id"]}
            if own:
                fields |= {"contact_id": own[0]["id"], "contact_name": own[0]["display_name"]}
            opportunities.append(make("opportunity", period, fields))
    store.load("contact", contacts)
    store.load("opportunity", opportunities)
    store.load("lead", leads)


def _events(store: Store, count: int, period: Period) -> list[Json]:
    """Return events about existing and deleted objects in the order of their stamps."""
    maker = store.factory.maker
    sources = [record for record in store.objects.values() if event_type(record.kind, record.type)]
    if not sources:
        return []
    stamps = sorted(maker.stamp(period.start, period.end) for _ in range(count))
    events = []
    for stamp in stamps:
        origin = _origin(maker, store.factory.world)
        change = _change(maker, maker.pick(sources))
        events.append(event_json(change, event_id=maker.id("ev"), stamp=iso_naive(stamp), origin=origin))
    return events


def _origin(maker: Maker, world: World) -> Json:
    """Return who made a change; an app made a fifth of all changes."""
    by_app = maker.chance(0.2)
    return {
        "user_id": maker.maybe(maker.pick(world.people).id, 0.9),
        "organization_id": world.organization_id,
        "api_key_id": None if by_app else maker.maybe(maker.id("api")),
        "oauth_client_id": maker.id("oa2client") if by_app else None,
        "oauth_scope": "all.full_access offline_access" if by_app else None,
        "request_id": maker.maybe(maker.id("req"), 0.9),
    }


def _change(maker: Maker, source: Record) -> Change:
    action = maker.pick(_EVENT_ACTIONS)
    data = source.data()
    if action == "deleted":
        # The object still exists, so the event reports the deletion of a copy with another id.
        data["id"] = maker.id(KINDS[source.kind].prefix)
    return Change(
        object_type=event_type(source.kind, source.type) or "",
        object_id=data["id"],
        action=action,
        lead_id=data["id"] if source.kind == "lead" else source.lead_id,
        before=None if action == "created" else data | {"date_updated": data["date_created"]},
        after=None if action == "deleted" else data,
        meta={"bulk_action_id": maker.id("bulkact")} if maker.chance(0.1) else {},
    )

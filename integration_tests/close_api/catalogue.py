"""All objects by id and by the lists that contain them, and leads with their embedded children."""

from collections.abc import Iterable
from threading import RLock

from .delayed import DelayedCollection
from .kinds import KINDS
from .records import Collection, Json, Record
from .settings import Settings
from .times import MILLISECOND, SECOND, to_micros

_EMBEDDED = {"contact": "contacts", "opportunity": "opportunities", "task": "tasks"}
# Limits the size of a lead when a test has few leads and many tasks.
_MAX_EMBEDDED_TASKS = 50


class Catalogue:
    """The current state of the data, without history. Another thread must hold `lock` while it uses the data."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.lock = RLock()
        self.objects: dict[str, Record] = {}
        self.collections: dict[str, Collection] = {
            name: Collection() for kind in KINDS.values() for name in kind.collections
        }
        self.leads = DelayedCollection()
        self._children: dict[str, dict[str, None]] = {}
        self._embedded: dict[str, dict[str, None]] = {}

    def now(self) -> int:
        """Return the server's time in microseconds since 1970, cut to whole milliseconds."""
        micros = to_micros(self.settings.now())
        return micros - micros % MILLISECOND

    def get(self, object_id: str) -> Json:
        """Return a copy of an object as the API shows it; raise KeyError if it does not exist."""
        with self.lock:
            return self.objects[object_id].data()

    def children_of(self, lead_id: str) -> list[str]:
        """Return the ids of a lead's contacts, opportunities, tasks and activities."""
        return [*self._embedded.get(lead_id, ()), *self._children.get(lead_id, ())]

    def is_visible(self, record: Record) -> bool:
        """Return whether the role of the API key may see the lead of the object."""
        lead_id = record.id if record.kind == "lead" else record.lead_id
        return lead_id not in self.settings.hidden_lead_ids

    def load(self, kind: str, objects: Iterable[Json]) -> None:
        """Add many objects as if they had always existed: without events and without search lag."""
        with self.lock:
            records = [Record(kind, data) for data in objects]
            for record in records:
                self._enter(record)
            for name in KINDS[kind].collections:
                self.collections[name].load(records)
            if kind == "lead":
                self._load_leads(record.id for record in records)
            elif kind in _EMBEDDED:
                self._load_leads(dict.fromkeys(record.lead_id for record in records if record.lead_id))

    def _load_leads(self, lead_ids: Iterable[str]) -> None:
        rendered = [
            Record("lead", self._with_children(self.objects[lead_id].data()))
            for lead_id in lead_ids
            if lead_id in self.objects
        ]
        self.objects.update((record.id, record) for record in rendered)
        self.leads.load(rendered)

    def _with_children(self, lead: Json) -> Json:
        rows: dict[str, list[Json]] = {"contacts": [], "opportunities": [], "tasks": []}
        for child_id in self._embedded.get(lead["id"], ()):
            record = self.objects[child_id]
            data = record.data()
            if record.kind == "task" and (data["is_complete"] or len(rows["tasks"]) >= _MAX_EMBEDDED_TASKS):
                continue
            rows[_EMBEDDED[record.kind]].append(data)
        return lead | rows | {"contact_ids": [contact["id"] for contact in rows["contacts"]]}

    def _enter(self, record: Record) -> None:
        old = self.objects.get(record.id)
        self.objects[record.id] = record
        if old is not None and old.lead_id != record.lead_id:
            self._leave_lead(old)
        if record.lead_id is not None:
            self._siblings(record)[record.id] = None

    def _leave_lead(self, record: Record) -> None:
        if record.lead_id is not None:
            self._siblings(record).pop(record.id, None)

    def _siblings(self, record: Record) -> dict[str, None]:
        families = self._embedded if record.kind in _EMBEDDED else self._children
        return families.setdefault(record.lead_id or "", {})

    def _put(self, record: Record, now: int) -> None:
        self._enter(record)
        for name in KINDS[record.kind].collections:
            self.collections[name].put(record)
        if record.kind == "lead":
            self.leads.put(record, self._search_due(now), now)

    def _drop(self, record: Record, now: int) -> None:
        del self.objects[record.id]
        self._leave_lead(record)
        for name in KINDS[record.kind].collections:
            self.collections[name].remove(record.id)
        if record.kind == "lead":
            self.leads.remove(record.id, self._search_due(now), now)

    def _search_due(self, now: int) -> int:
        return now + int(self.settings.search_lag * SECOND)

"""All objects by id and by the lists that contain them, and leads with their embedded children."""

from collections.abc import Iterable
from threading import RLock

from .kinds import KINDS
from .records import Collection, DelayedCollection, Json, Record
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
        self.collections: dict[str, Collection] = {}
        for kind in KINDS.values():
            self.collections |= {name: Collection() for name in kind.collections}
        self.leads = DelayedCollection()
        # The ids of the children of each lead, as the keys of a dictionary.
        self._children: dict[str, dict[str, None]] = {}

    def now(self) -> int:
        """Return the server's time in microseconds since 1970, cut to whole milliseconds."""
        micros = to_micros(self.settings.now())
        return micros - micros % MILLISECOND

    def get(self, object_id: str) -> Json:
        """Return a copy of an object as the API shows it; raise KeyError if it does not exist."""
        with self.lock:
            return self.objects[object_id].data()

    def children_of(self, lead_id: str) -> list[str]:
        """Return the ids of a lead's contacts, opportunities and tasks, and then of its activities."""
        children = self._children.get(lead_id, ())
        return sorted(children, key=lambda child_id: self.objects[child_id].kind not in _EMBEDDED)

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
        known = [self.objects[lead_id].data() for lead_id in lead_ids if lead_id in self.objects]
        rendered = [Record("lead", self._with_children(lead)) for lead in known]
        self.objects.update((record.id, record) for record in rendered)
        self.leads.visible.load(rendered)

    def _with_children(self, lead: Json) -> Json:
        rows: dict[str, list[Json]] = {"contacts": [], "opportunities": [], "tasks": []}
        children = [self.objects[child_id] for child_id in self._children.get(lead["id"], ())]
        for record in children:
            if record.kind not in _EMBEDDED:
                continue
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
            self._children.setdefault(record.lead_id, {})[record.id] = None

    def _leave_lead(self, record: Record) -> None:
        if record.lead_id is not None:
            del self._children[record.lead_id][record.id]

    def _put(self, record: Record, now: int) -> None:
        self._enter(record)
        for name in KINDS[record.kind].collections:
            self.collections[name].load([record])
        if record.kind == "lead":
            self.leads.change(record.id, record, self._search_due(now), now)

    def _drop(self, record: Record, now: int) -> None:
        del self.objects[record.id]
        self._leave_lead(record)
        for name in KINDS[record.kind].collections:
            self.collections[name].remove(record.id)
        if record.kind == "lead":
            self.leads.change(record.id, None, self._search_due(now), now)

    def _search_due(self, now: int) -> int:
        return now + int(self.settings.search_lag * SECOND)

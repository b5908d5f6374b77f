"""The server's data and the methods that change it; each change writes its events."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from .catalogue import Catalogue
from .eventlog import Change, EventLog
from .factory import Factory, Period
from .kinds import UNDOCUMENTED_EVENT_TYPES, event_type
from .records import Json, Record
from .settings import Settings
from .times import DAY, HOUR, iso, iso_naive, parse, to_micros

_EMBEDDED_LISTS = {"contacts", "opportunities", "tasks"}


class Store(Catalogue):
    """The data of one organization. Methods that change it acquire the lock, so any thread may call them."""

    def __init__(self, settings: Settings, seed: int = 1) -> None:
        """Create an organization without objects; `seed` decides every generated value."""
        super().__init__(settings)
        self.factory = Factory(seed)
        self.events = EventLog(settings, self.factory.maker.id, self.factory.world)
        self.search_chains: dict[str, Any] = {}
        self._hooks: list[Callable[[int], None]] = []

    def log_event(self, **fields: Any) -> None:
        """Add an event that belongs to no change; `fields` replace its fields, with any values."""
        with self.lock:
            self.events.load_events([self.events.odd(iso_naive(self.now()), fields)])

    def on_request(self, hook: Callable[[int], None]) -> None:
        """Call `hook` with the number (from 1) of each request before the response."""
        self._hooks.append(hook)

    def request_started(self, number: int) -> None:
        for hook in self._hooks:
            hook(number)

    def advance(self) -> int:
        """Make the changes and events visible that are due; return the time in microseconds since 1970."""
        now = self.now()
        self.leads.advance(now)
        self.events.advance(now)
        return now

    def load_many(
        self, kind: str, count: int, start: datetime, end: datetime | None = None, **fields: Any
    ) -> list[str]:
        """Create objects dated in [start, end), or all exactly at `start`, without events; return their ids."""
        with self.lock:
            first = to_micros(start)
            if end is None:
                fields = {"date_created": iso(first), "date_updated": iso(first), **fields}
            period = Period(first, to_micros(end) if end else first + 1_000)
            made = [self.factory.make(kind, period, fields) for _ in range(count)]
            self.load(kind, made)
            return [data["id"] for data in made]

    def add(self, kind: str, **fields: Any) -> Json:
        """Create an object now and log it; `date_created` back-dates it. Return the object as the API shows it."""
        with self.lock:
            now = self.now()
            fields = {"date_updated": iso(now), **fields}
            if kind == "Meeting":
                fields.setdefault("starts_at", fields.get("date_created", iso(now + HOUR)))
                if self.settings.meeting_date_created_is_start:
                    fields.setdefault("date_created", fields["starts_at"])
            return self._create(kind, {"date_created": iso(now), **fields}, now)

    def edit(self, object_id: str, action: str = "updated", /, **fields: Any) -> Json:
        """Change fields of an object and log the change as `action`; `date_updated` becomes now unless it is given."""
        with self.lock:
            now = self.now()
            before = self.objects[object_id]
            editor = {} if before.kind == "user" else {"updated_by": self.factory.world.me.id}
            fields = {"date_updated": iso(now), **editor, **fields}
            if "status_id" in fields and before.kind == "lead":
                fields |= self._change_status(before, fields["status_id"])
            after = self._replace(before, fields, action, now)
            for lead_id in dict.fromkeys((before.lead_id, after.get("lead_id"))):
                self._touch_lead(lead_id, now)
            return after

    def delete(self, object_id: str) -> None:
        """Delete an object, with the children of a lead."""
        with self.lock:
            now = self.now()
            self._delete(self.objects[object_id], now, {})

    def merge(self, source_id: str, destination_id: str) -> Json:
        """Merge one lead into another; return the LeadMerge activity."""
        with self.lock:
            now = self.now()
            source = self.get(source_id)
            destination = self.get(destination_id)
            meta = {"merge_source_lead_id": source_id, "merge_destination_lead_id": destination_id}
            moved = {"lead_id": destination_id}
            if self.settings.merge_moves_date_updated:
                moved["date_updated"] = iso(now)
            for child_id in self.children_of(source_id):
                self._replace(self.objects[child_id], moved, "updated", now, meta)
            fields = self._with_children(destination) | {"date_updated": iso(now)}
            after = self._replace(self.objects[destination_id], fields, "updated", now, meta)
            self._delete(self.objects[source_id], now, meta)
            self._log(self.objects[destination_id], "merged", None, after, now, meta)
            fields = {
                "date_created": iso(now),
                "date_updated": iso(now),
                "lead_id": destination_id,
                "source_lead_id": source_id,
                "destination_lead_id": destination_id,
                "source_display_name": source["display_name"],
                "destination_display_name": destination["display_name"],
                "merge_status": "completed",
            }
            return self._create("LeadMerge", fields, now, meta)

    def complete_task(self, task_id: str) -> Json:
        """Complete a task; return the TaskCompleted activity."""
        with self.lock:
            task = self.edit(task_id, "completed", is_complete=True, view="archive")
            text = task.get("text") or ""
            activity = self.add("TaskCompleted", lead_id=task["lead_id"], task_id=task_id, task_text=text)
            lead = self.objects.get(task["lead_id"] or "")
            if lead is not None:
                after = lead.data()
                self._log(lead, "updated", after | {"date_updated": after["date_created"]}, after, self.now())
            return activity

    def reopen_task(self, task_id: str) -> None:
        """Reopen a task and delete its TaskCompleted activities."""
        with self.lock:
            self.edit(task_id, is_complete=False, view="inbox")
            done = self.collections["activity/task_completed"].records.values()
            for activity in [one for one in done if one.data()["task_id"] == task_id]:
                self.delete(activity.id)

    def reschedule_meeting(self, meeting_id: str, starts_at: datetime) -> Json:
        """Move a meeting and the dates that depend on its start."""
        with self.lock:
            start = to_micros(starts_at)
            meeting = self.get(meeting_id)
            length = parse(meeting["ends_at"]) - parse(meeting["starts_at"])
            dates = {"starts_at": iso(start), "ends_at": iso(start + length), "activity_at": iso(start)}
            if self.settings.meeting_date_created_is_start:
                dates["date_created"] = iso(start)
            return self.edit(meeting_id, **dates)

    def _create(self, kind: str, fields: Json, now: int, meta: Json | None = None) -> Json:
        data = self.factory.make(kind, Period(now - DAY, now + 1_000), fields)
        record = Record(kind, data)
        self._put(record, now)
        self._log(record, "created", None, data, now, meta)
        self._touch_lead(record.lead_id, now)
        return data

    def _replace(self, before: Record, fields: Json, action: str, now: int, meta: Json | None = None) -> Json:
        """Change fields of an object and log the change; return the object."""
        data = before.data()
        record = Record(before.kind, data | fields)
        self._put(record, now)
        self._log(record, action, data, record.data(), now, meta)
        return record.data()

    def _delete(self, record: Record, now: int, meta: Json, *, with_lead: bool = False) -> None:
        if record.kind == "lead":
            for child_id in self.children_of(record.id):
                self._delete(self.objects[child_id], now, meta, with_lead=True)
            self.factory.world.lead_ids.remove(record.id)
        if record.kind == "EmailThread":
            self._delete_emails(record, now)
        self._drop(record, now)
        self._log(record, "deleted", record.data(), None, now, meta)
        if not with_lead:
            self._touch_lead(record.lead_id, now)

    def _delete_emails(self, thread: Record, now: int) -> None:
        emails = self.collections["activity/email"].records.values()
        for email in [one for one in emails if one.data()["thread_id"] == thread.id]:
            if self.settings.email_thread_deletion_logs_emails:
                self._delete(email, now, {})
            else:
                self._drop(email, now)

    def _change_status(self, lead: Record, status_id: str) -> Json:
        """Add the activity of a lead's new status; return the fields of the lead that depend on the status."""
        world = self.factory.world
        old = world.status(lead.data()["status_id"])
        new = world.status(status_id)
        self.add("LeadStatusChange", lead_id=lead.id, **old.columns("old"), **new.columns("new"))
        return {"status_label": new.label}

    def _touch_lead(self, lead_id: str | None, now: int) -> None:
        """Update the `date_updated` and embedded children of a lead; write an event only if its contact ids change."""
        lead = self.objects.get(lead_id or "")
        if lead is None:
            return
        before = lead.data()
        after = self._with_children(before) | {"date_updated": iso(max(now, lead.updated))}
        record = Record("lead", after)
        self._put(record, now)
        if before["contact_ids"] != after["contact_ids"]:
            self._log(record, "updated", before, after, now)

    def _log(
        self, record: Record, action: str, before: Json | None, after: Json | None, now: int, meta: Json | None = None
    ) -> None:
        object_type = event_type(record.kind, record.type)
        if self.settings.event_types_are_complete:
            object_type = UNDOCUMENTED_EVENT_TYPES.get(record.kind, object_type)
        if object_type is None:
            return
        ignored = _EMBEDDED_LISTS if record.kind == "lead" else frozenset[str]()
        change = Change(object_type, record.id, action, record.lead, before, after, meta or {}, ignored)
        self.events.write(change, now)

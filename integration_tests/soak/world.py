"""What a run of the soak takes from its seed: faults, settings of the API, and changes between the requests."""

from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any
from zlib import crc32

from integration_tests.close_api import Fault, Settings, Store
from integration_tests.close_api.settings import ListOrder
from integration_tests.close_api.times import to_datetime, to_micros
from integration_tests.soak.clock import SharedClock

FAULTY_SHARE = 0.1
# Odd values for the fields of an event that say which change it reports.
_ODD: tuple[dict[str, Any], ...] = (
    {"object_type": None},
    {"object_id": ["acti_1"]},
    {"action": 7},
    {"object_type": "spaceship"},
    {"object_id": "acti_never_there", "action": "vanished"},
    {"action": "merged", "meta": None},
    {"data": None, "previous_data": "text", "meta": 7},
)
_ACTIONS = ("odd", "add", "add", "lead", "task", "task done", "activity", "other", "delete", "merge", "moved")
_LATE_SHARE = 0.3


def faults(rng: Random) -> list[Fault]:
    """Return faults of every kind, which together hit a tenth of the requests."""
    broken = {"error": "Internal Server Error"}
    kinds: list[dict[str, Any]] = [
        {"kind": "status", "status": 500, "body": broken},
        {"kind": "status", "status": 502, "body": "<html>Bad gateway</html>"},
        {"kind": "status", "status": 503, "body": None},
        {"kind": "status", "status": 504, "body": broken},
        {"kind": "status", "status": 200, "body": {"message": "no envelope"}},
        {"kind": "rate_limit", "seconds": rng.uniform(0.1, 9.0)},
        {"kind": "reset"},
        {"kind": "close_mid_body"},
        {"kind": "truncate"},
        {"kind": "status", "status": 200, "body": "<html>Something went wrong</html>"},
        {"kind": "status", "status": 200, "body": None},
        {"kind": "hang", "seconds": 0.05},
        {"kind": "slow", "seconds": 0.05},
        {"kind": "stall"},
    ]
    rng.shuffle(kinds)
    return [Fault(**kind, probability=FAULTY_SHARE / len(kinds)) for kind in kinds]


def without_events(of: Settings) -> set[str]:
    """Return the types of activities whose changes the event log does not report."""
    return set() if of.event_types_are_complete else {"Created", "ImportUpdate"}


def settings(rng: Random, clock: SharedClock) -> Settings:
    """Return random settings of the API, all of which the connector must cope with."""
    orders: tuple[ListOrder, ...] = ("newest", "oldest", "id", "inserted")
    made = Settings(now=clock.now)
    made.activity_order = rng.choice(orders)
    made.task_order = rng.choice((*orders, "date_updated"))
    made.task_order_by = rng.choice(("honour", "ignore"))
    made.user_order = rng.choice(orders)
    # Merges give some forty tasks one date, which offsets must reach.
    made.max_skip |= {"activity": rng.choice((30, 60, 250_000)), "task": rng.choice((60, 90, None))}
    made.rows_by_id = rng.choice((None, 3, 20))
    made.error_wording = rng.choice(("old", "new"))
    made.list_ties = rng.choice(("stable", "random"))
    made.filter_precision = rng.choice(("millisecond", "second"))
    made.custom_field_lists_have_shared = rng.random() < 0.5
    made.meeting_date_created_is_start = rng.random() < 0.7
    made.search_lag = rng.choice((0.0, 5.0, 60.0, 300.0))
    made.search_cursor = rng.choice(("snapshot", "after", "offset"))
    made.lead_custom_values = rng.choice(("both", "by_id", "by_name", "by_id_in_custom"))
    made.search_cursor_life = rng.choice((5.0, 30.0))
    made.search_sort_precision = rng.choice(("millisecond", "second"))
    made.search_max_rows = rng.choice((60, 200, 10_000))
    made.search_past_max_rows = rng.choice(("null", "reject"))
    lag = rng.choice((0.0, 5.0, 60.0, 200.0))
    made.event_lag = (lambda event: crc32(event["id"].encode()) % 100 / 100 * lag) if rng.random() < 0.5 else lag
    made.event_types_are_complete = rng.random() < 0.3
    made.event_consolidation = rng.choice((0.0, 60.0))
    made.event_date_filter_with_cursor = rng.choice(("honour", "ignore", "reject"))
    made.event_cursor_keeps_bounds = rng.random() < 0.5
    made.admin = rng.random() < 0.7
    made.event_data_for_non_admin = rng.choice(("missing", "null"))
    made.merge_moves_date_updated = rng.choice((True, False))
    made.rate_limit_header = rng.random() < 0.5
    made.rate_limit_reply_header = rng.random() < 0.5
    made.rate_limit_reply_retry_after = rng.random() < 0.5
    made.rate_limit_reply_body = rng.choice(("old", "plain", "empty"))
    made.pages_of_unpaged_lists = rng.choice(("ignore", "reject"))
    return made


@dataclass
class Changes:
    """Changes the data before some of the requests, and moves the server's clock forward."""

    store: Store
    clock: SharedClock
    rng: Random
    late_changes: bool
    share: float
    enabled: bool = True
    done: list[str] = field(default_factory=list)

    def before_request(self, number: int) -> None:
        """The hook for `Store.on_request`."""
        self.clock.advance(self.rng.choice((0.0, 0.001, 0.01, 0.5, 3.0)))
        if self.enabled and self.rng.random() < self.share:
            with self.store.lock:
                self.change()

    def change(self) -> None:  # noqa: C901 - a case for each kind of change
        """Make one change."""
        rng, store = self.rng, self.store
        leads = sorted(store.leads.visible.records.keys() & store.objects.keys())
        tasks = list(store.collections["task"].records)
        unlogged = without_events(store.settings)
        activities = [one.id for one in store.collections["activity"].records.values() if one.kind not in unlogged]
        # Contacts and opportunities are part of their lead.
        kinds = ("user", "custom_field", "contact", "opportunity")
        others = [one.id for one in store.objects.values() if one.kind.startswith(kinds)]
        action = rng.choice(_ACTIONS)
        match action:
            case "add":
                self.add()
            case "lead" if leads:
                status = rng.choice(store.factory.world.lead_statuses).id
                edits = ({"description": f"Edit {rng.random()}"}, {"status_id": status})
                store.edit(rng.choice(leads), **rng.choice(edits))
            case "task" if tasks:
                store.edit(rng.choice(tasks), text=f"Edit {rng.random()}")
            case "task done" if tasks:
                task = rng.choice(tasks)
                store.reopen_task(task) if store.get(task)["is_complete"] else store.complete_task(task)
            case "activity" if activities:
                store.edit(rng.choice(activities), note=f"Edit {rng.random()}")
            case "other" if others:
                store.edit(rng.choice(others), first_name=f"Edit {rng.random()}")
            case "delete" if leads and tasks and activities:
                store.delete(rng.choice((rng.choice(leads), rng.choice(tasks), rng.choice(activities))))
            case "merge" if len(leads) > 1:
                store.merge(*rng.sample(leads, 2))
            case "moved" if self.late_changes:
                self.move_meeting()
            case "odd":
                store.log_event(**rng.choice(_ODD))
            case _:
                return
        self.done.append(action)

    def add(self) -> None:
        """Add an object; some activities get a date in the past."""
        kind = self.rng.choice(("lead", "task", "Note", "Email", "Call", "Meeting", "user", "custom_field.lead"))
        late = self.late_changes and kind in {"Note", "Email"} and self.rng.random() < _LATE_SHARE
        at = to_micros(self.clock.now() - timedelta(days=self.rng.uniform(2, 20)))
        self.store.add(kind, **({"date_created": to_datetime(at - at % 1_000).isoformat()} if late else {}))

    def move_meeting(self) -> None:
        """Reschedule a meeting, which also changes its `date_created`."""
        if meetings := list(self.store.collections["activity/meeting"].records):
            starts_at = self.clock.now() + timedelta(days=self.rng.uniform(-9, 9))
            self.store.reschedule_meeting(self.rng.choice(meetings), starts_at)

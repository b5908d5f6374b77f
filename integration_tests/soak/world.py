"""What a run of the soak takes from its seed: faults, settings of the API, and changes between the requests."""

from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any
from zlib import crc32

from integration_tests.close_api import Fault, Settings, Store
from integration_tests.close_api.settings import EventLag, ListOrder
from integration_tests.close_api.times import MILLISECOND, iso, to_micros
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
_EDITED_FIELD = {"task": "text", "activity": "note", "other": "first_name"}
_LATE_SHARE = 0.3


def faults(rng: Random) -> list[Fault]:
    """Return faults of every kind, which together hit a tenth of the requests."""
    kinds: list[dict[str, Any]] = [
        {"kind": "status", "status": 500},
        {"kind": "status", "status": 502, "body": "<html>Bad gateway</html>"},
        {"kind": "status", "status": 503, "body": None},
        {"kind": "status", "status": 504},
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
    return Settings(
        now=clock.now,
        activity_order=rng.choice(orders),
        task_order=rng.choice((*orders, "date_updated")),
        task_order_by=rng.choice(("honour", "ignore")),
        user_order=rng.choice(orders),
        # Merges give some forty tasks one date, which offsets must reach.
        max_skip=Settings().max_skip | {"activity": rng.choice((30, 60, 250_000)), "task": rng.choice((60, 90, None))},
        rows_by_id=rng.choice((None, 3, 20)),
        error_wording=rng.choice(("old", "new")),
        list_ties=rng.choice(("stable", "random")),
        filter_precision=rng.choice(("millisecond", "second")),
        custom_field_lists_have_shared=rng.random() < 0.5,
        meeting_date_created_is_start=rng.random() < 0.7,
        search_lag=rng.choice((0.0, 5.0, 60.0, 300.0)),
        search_cursor=rng.choice(("snapshot", "after", "offset")),
        lead_custom_values=rng.choice(("both", "by_id", "by_name", "by_id_in_custom")),
        search_cursor_life=rng.choice((5.0, 30.0)),
        search_sort_precision=rng.choice(("millisecond", "second")),
        search_max_rows=rng.choice((60, 200, 10_000)),
        search_past_max_rows=rng.choice(("null", "reject")),
        event_lag=_event_lag(rng),
        event_types_are_complete=rng.random() < 0.3,
        event_consolidation=rng.choice((0.0, 60.0)),
        event_date_filter_with_cursor=rng.choice(("honour", "ignore", "reject")),
        event_cursor_keeps_bounds=rng.random() < 0.5,
        admin=rng.random() < 0.7,
        event_data_for_non_admin=rng.choice(("missing", "null")),
        merge_moves_date_updated=rng.choice((True, False)),
        rate_limit_header=rng.random() < 0.5,
        rate_limit_reply_header=rng.random() < 0.5,
        rate_limit_reply_retry_after=rng.random() < 0.5,
        rate_limit_reply_body=rng.choice(("old", "plain", "empty")),
        pages_of_unpaged_lists=rng.choice(("ignore", "reject")),
    )


def _event_lag(rng: Random) -> EventLag:
    """Return one lag for all events, or a different lag for each event."""
    longest = rng.choice((0.0, 5.0, 60.0, 200.0))
    if rng.random() < 0.5:
        return lambda event: crc32(event["id"].encode()) % 100 / 100 * longest
    return longest


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

    def change(self) -> None:
        """Make one change, unless there are no records for it."""
        rng = self.rng
        store = self.store
        leads = sorted(store.leads.visible.records.keys() & store.objects.keys())
        ids = {"task": list(store.collections["task"].records), "activity": self.activities(), "other": self.others()}
        action = rng.choice(_ACTIONS)
        match action:
            case "add":
                self.add()
            case "lead" if leads:
                status = rng.choice(store.factory.world.lead_statuses).id
                edits = ({"description": f"Edit {rng.random()}"}, {"status_id": status})
                store.edit(rng.choice(leads), **rng.choice(edits))
            case "task" | "activity" | "other" if ids[action]:
                store.edit(rng.choice(ids[action]), **{_EDITED_FIELD[action]: f"Edit {rng.random()}"})
            case "task done" if ids["task"]:
                task = rng.choice(ids["task"])
                if store.get(task)["is_complete"]:
                    store.reopen_task(task)
                else:
                    store.complete_task(task)
            case "delete" if leads and ids["task"] and ids["activity"]:
                one_of_each = (rng.choice(leads), rng.choice(ids["task"]), rng.choice(ids["activity"]))
                store.delete(rng.choice(one_of_each))
            case "merge" if len(leads) > 1:
                store.merge(*rng.sample(leads, 2))
            case "moved" if self.late_changes:
                self.move_meeting()
            case "odd":
                store.log_event(**rng.choice(_ODD))
            case _:
                return
        self.done.append(action)

    def activities(self) -> list[str]:
        """Return the ids of the activities whose changes the event log reports."""
        unlogged = without_events(self.store.settings)
        activities = self.store.collections["activity"].records.values()
        return [one.id for one in activities if one.kind not in unlogged]

    def others(self) -> list[str]:
        """Return the ids of users, custom fields, and the contacts and opportunities, which are part of their lead."""
        kinds = ("user", "custom_field", "contact", "opportunity")
        return [one.id for one in self.store.objects.values() if one.kind.startswith(kinds)]

    def add(self) -> None:
        """Add an object; some activities get a date in the past."""
        kind = self.rng.choice(("lead", "task", "Note", "Email", "Call", "Meeting", "user", "custom_field.lead"))
        late = self.late_changes and kind in {"Note", "Email"} and self.rng.random() < _LATE_SHARE
        at = to_micros(self.clock.now() - timedelta(days=self.rng.uniform(2, 20)))
        fields = {"date_created": iso(at - at % MILLISECOND)} if late else {}
        self.store.add(kind, **fields)

    def move_meeting(self) -> None:
        """Reschedule a meeting, which also changes its `date_created`."""
        meetings = list(self.store.collections["activity/meeting"].records)
        if meetings:
            starts_at = self.clock.now() + timedelta(days=self.rng.uniform(-9, 9))
            self.store.reschedule_meeting(self.rng.choice(meetings), starts_at)

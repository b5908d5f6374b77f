"""Weeks of changes to an account with syncs in between: the resulting tables equal the server's data."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from integration_tests.close_api import LocalCloseApi, Volumes
from integration_tests.harness.running import Result
from integration_tests.harness.truth import CURSOR_FIELD, DAY, moment, text
from integration_tests.harness.warehouse import DELETED_AT, FOLLOWING, Clock, Warehouse

# The event log does not report these types: the connector does not learn that one was deleted or moved with its lead.
UNLOGGED = {"Created", "ImportUpdate"}
SYNCS = 20
EDITED = ("Note", "Call", "Email", "SMS", "Meeting", "CustomActivity", "FormSubmission", "WhatsAppMessage")


@dataclass
class Account:
    """Changes an account at random, and collects the ids for which a table may differ from the server."""

    warehouse: Warehouse
    random: Random
    unlogged: set[str] = field(default_factory=set)
    moved_back: set[str] = field(default_factory=set)

    @property
    def store(self) -> Any:
        return self.warehouse.api.store

    def change(self) -> None:
        """Make one change, or several changes of one kind within seconds."""
        weighted = (
            (self.add, 5),
            (self.back_date, 2),
            (self.edit_activity, 8),
            (self.edit_task, 3),
            (self.edit_lead, 4),
            (self.edit_child, 2),
            (self.tick_or_untick, 3),
            (self.book, 2),
            (self.reschedule, 3),
            (self.delete_activity, 3),
            (self.delete_task, 1),
            (self.delete_lead, 1),
            (self.merge, 1),
        )
        what = self.random.choices([one for one, _ in weighted], [weight for _, weight in weighted])[0]
        for _ in range(self.random.choice((1, 1, 1, 2, 4))):
            what()
            self.warehouse.clock.advance(milliseconds=self.random.choice((0, 1, 500, 20_000)))
        for one in self.store.objects.values():
            if one.type in UNLOGGED:
                self.unlogged.add(one.id)

    def pick(self, collection: str) -> str | None:
        ids = sorted(self.store.collections[collection].records)
        return self.random.choice(ids) if ids else None

    def pick_lead(self) -> str:
        return str(self.random.choice(sorted(self.store.factory.world.lead_ids)))

    def moment(self, days_from: int, days_to: int) -> datetime:
        return self.warehouse.clock() + timedelta(seconds=self.random.randrange(days_from * 86_400, days_to * 86_400))

    def add(self) -> None:
        kind = self.random.choice(("lead", "task", "contact", "opportunity", "Note", "Email", "Call", "SMS"))
        self.store.add(kind, **{} if kind == "lead" else {"lead_id": self.pick_lead()})

    def back_date(self) -> None:
        kind = self.random.choice(("Note", "Call", "LeadStatusChange", "CustomActivity"))
        self.store.add(kind, lead_id=self.pick_lead(), date_created=text(self.moment(-250, -2)))

    def edit_activity(self) -> None:
        one = self.pick("activity")
        if one is not None and self.store.objects[one].type not in UNLOGGED:
            self.store.edit(one, user_name=f"Edited {self.random.random()}")

    def edit_task(self) -> None:
        if (one := self.pick("task")) is not None:
            self.store.edit(one, date=text(self.moment(-5, 5))[:10])

    def edit_lead(self) -> None:
        fields = {"status_id": self.random.choice(self.store.factory.world.lead_statuses).id}
        self.store.edit(self.pick_lead(), **self.random.choice((fields, {"description": f"{self.random.random()}"})))

    def edit_child(self) -> None:
        """Edit a contact or an opportunity, which are part of their lead."""
        children = [one for one in self.store.children_of(self.pick_lead()) if one.startswith(("cont", "oppo"))]
        if children:
            self.store.edit(self.random.choice(children))

    def tick_or_untick(self) -> None:
        one = self.pick("task")
        if one is None:
            return
        if self.store.get(one)["is_complete"]:
            self.store.reopen_task(one)
        else:
            self.store.complete_task(one)

    def book(self) -> None:
        self.store.add("Meeting", lead_id=self.pick_lead(), starts_at=text(self.moment(-3, 20)))

    def reschedule(self) -> None:
        if (one := self.pick("activity/meeting")) is not None:
            before = self.store.objects[one].created
            self.store.reschedule_meeting(one, self.moment(-30, 20))
            if self.store.objects[one].created < before:
                self.moved_back.add(one)

    def delete_activity(self) -> None:
        one = self.pick("activity")
        if one is not None and self.store.objects[one].type not in UNLOGGED:
            self.store.delete(one)

    def delete_task(self) -> None:
        if (one := self.pick("task")) is not None:
            self.store.delete(one)

    def delete_lead(self) -> None:
        if len(self.store.factory.world.lead_ids) > 10:
            self.store.delete(self.pick_lead())

    def merge(self) -> None:
        source, destination = self.pick_lead(), self.pick_lead()
        if source != destination and len(self.store.factory.world.lead_ids) > 10:
            self.store.merge(source, destination)


class ByCursor:
    """Tables of a destination that keeps, for each id, the last row with the newest cursor value."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, dict[str, Any]]] = {stream: {} for stream in FOLLOWING}

    def take(self, result: Result) -> None:
        for stream, table in self.tables.items():
            for row in result.records(stream):
                known, cursor = table.get(row["id"]), CURSOR_FIELD[stream]
                if known is None or moment(row[cursor]) >= moment(known[cursor]):
                    table[row["id"]] = row

    def assert_equals(self, warehouse: Warehouse, ignored: set[str]) -> None:
        for stream, table in self.tables.items():
            present = {one: row for one, row in table.items() if not row.get(DELETED_AT) and one not in ignored}
            assert present == {one: row for one, row in warehouse.tables[stream].items() if one not in ignored}


@pytest.mark.parametrize("seed", [int(one) for one in os.environ.get("HISTORY_SEEDS", "1,2").split(",")])
def test_tables_equal_the_server_after_weeks_of_changes_syncs_and_kills(
    make_api: Callable[..., LocalCloseApi], tmp_path: Path, seed: int
) -> None:
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails
    random, clock = Random(seed), Clock()
    schedule = Random(seed)  # used between the syncs only, so that threads don't change the plan
    volumes = Volumes(activities=250, leads=40, tasks=60, users=3, custom_fields=2)
    api = make_api(volumes, seed=seed, start=clock() - 300 * DAY, end=clock() - 35 * DAY)
    api.settings.now = clock
    api.settings.admin = seed % 2 == 1
    api.settings.event_lag = lambda event: random.choice((0, 0, random.uniform(0, 295)))
    api.settings.search_lag = random.choice((0, 20, 60))
    api.settings.merge_moves_date_updated = random.choice((True, False))
    api.settings.lead_merge_activity_on = random.choice(("destination", "source"))
    config = {"attribution_window_hours": random.choice((0, 24)), "num_workers": random.choice((1, 4, 20))}
    warehouse = Warehouse(api, clock, tmp_path, config)
    by_cursor = ByCursor()
    account = Account(warehouse, random)
    killed = 0

    def change_while_it_runs(_: int) -> None:
        clock.advance(seconds=random.choice((0, 1, 5)))
        if random.random() < 0.3:
            account.change()

    for number in range(SYNCS):
        for _ in range(schedule.randrange(9)):
            account.change()
            clock.advance(seconds=schedule.randrange(6_000))
        if schedule.random() < 0.4:
            clock.advance(hours=schedule.choice((0.1, 24, 72, 120)))
        streams = schedule.sample([*FOLLOWING, *schedule.choice(([], ["event_log"]))], 3 if number % 3 else 2)
        stop = api.store.on_request(change_while_it_runs) if schedule.random() < 0.3 else None
        kill_after = schedule.randrange(12, 70) if schedule.random() < 0.3 else None
        result = warehouse.sync(streams, kill_after=kill_after)
        killed += kill_after is not None and len(result.messages) >= kill_after
        if stop is not None:
            stop()
        for stream in FOLLOWING:
            assert set(result.repeated(stream)) <= {row["id"] for row in result.records(stream) if row.get(DELETED_AT)}
        by_cursor.take(result)
    clock.advance(minutes=5)  # the log then shows every event
    by_cursor.take(warehouse.sync())
    warehouse.assert_is_current(ignored=account.unlogged)
    if api.settings.admin:
        by_cursor.assert_equals(warehouse, ignored=account.moved_back)
    assert killed > 3
    assert clock() - Clock()() > 14 * DAY

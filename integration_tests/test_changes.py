"""Late edits, deletions and merges, which the connector learns from Close's event log."""

from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from integration_tests.close_api import Volumes
from integration_tests.close_api.kinds import ACTIVITY_PATHS
from integration_tests.harness.fixtures import MakeApi
from integration_tests.harness.moments import DAY, HOUR, text
from integration_tests.harness.running import Result
from integration_tests.harness.truth import requests_of
from integration_tests.harness.warehouse import DELETED_AT, FOLLOWING, Clock, Warehouse

TYPES = set(ACTIVITY_PATHS) - {"EmailThread"}
Rows = dict[str, dict[str, Any]]
ANCHORS = {"lead": "lead_anchor", "Note": "acti_anchor", "task": "task_anchor"}


@pytest.fixture
def warehouse(make_api: MakeApi, tmp_path: Path) -> Warehouse:
    """Return an account of four old leads, each with three notes and two tasks."""
    clock = Clock()
    api = make_api(Volumes(users=1), end=clock() - DAY)
    api.settings.now = clock
    long_ago = clock() - 60 * DAY
    # The newest record of each stream, so that no window of a later sync reaches an older record.
    for kind, anchor in ANCHORS.items():
        api.store.load_many(kind, 1, clock() - DAY, id=anchor, **{} if kind == "lead" else {"lead_id": None})
    for number, lead_id in enumerate(api.store.load_many("lead", 4, long_ago, long_ago + DAY)):
        at = long_ago + (number + 1) * HOUR
        api.store.load_many("Note", 3, at, at + HOUR, lead_id=lead_id)
        api.store.load_many("task", 2, at, at + HOUR, lead_id=lead_id, is_complete=False)
    return Warehouse(api, clock, tmp_path)


def children_of(warehouse: Warehouse, lead: str) -> set[str]:
    """Return the ids of the activities and tasks of a lead."""
    return {child for child in warehouse.api.store.children_of(lead) if child.startswith(("acti", "task", "noti"))}


def deleted_ids(result: Result, stream: str) -> set[str]:
    return {row["id"] for row in result.records(stream) if row.get(DELETED_AT)}


def present(result: Result, stream: str) -> Rows:
    rows = {row["id"]: row for row in result.records(stream) if not row.get(DELETED_AT)}
    return {record_id: row for record_id, row in rows.items() if record_id not in ANCHORS.values()}


class OldRecords:
    """Records of the warehouse's account that a later sync reads again only if the event log has changes of them."""

    def __init__(self, warehouse: Warehouse, unlogged: tuple[str, ...]) -> None:
        """Add two activities of each type, a thread with two emails, and a task without a lead."""
        self.store = warehouse.api.store
        leads = self.store.leads.visible.records.keys() - {ANCHORS["lead"]}
        self.keeper, self.destination, self.source, self.doomed = sorted(leads)
        since = warehouse.clock() - 55 * DAY
        load = partial(self.store.load_many, start=since, end=since + 10 * DAY, lead_id=self.keeper)
        self.pairs = [load(kind, 2) for kind in sorted(TYPES.difference(unlogged))]
        for kind in unlogged:
            load(kind, 2)
        emails = load("Email", 2, thread_id="acti_thread")
        shown = [self.store.get(email) for email in emails]
        load("EmailThread", 1, id="acti_thread", emails=shown, latest_emails=[])
        [self.lonely] = load("task", 1, lead_id=None)
        moved = children_of(warehouse, self.source)
        self.moved_activities = {child for child in moved if child.startswith("acti")}
        self.moved_tasks = moved - self.moved_activities
        self.edited = {edited for edited, _ in self.pairs}
        self.gone = {deleted for _, deleted in self.pairs}.union(emails, [self.lonely])
        self.gone |= children_of(warehouse, self.doomed)

    def change(self, back_dated: datetime) -> set[str]:
        """Edit, delete and merge; return the ids of the new activities: a back-dated note, and that of the merge."""
        for edited, deleted in self.pairs:
            self.store.edit(edited)
            self.store.delete(deleted)
        note = self.store.add("Note", lead_id=self.keeper, date_created=text(back_dated))
        merge = self.store.merge(self.source, self.destination)
        for one in (self.doomed, self.lonely, "acti_thread"):
            self.store.delete(one)
        return {note["id"], merge["id"]}


@pytest.mark.parametrize("unlogged", [("Created", "ImportUpdate"), ()], ids=["documented events", "all events"])
def test_late_changes_of_every_type_are_emitted_once_and_equal_the_server(
    warehouse: Warehouse, unlogged: tuple[str, ...]
) -> None:
    """Changes are late edits of every type, back-dated records, deletions, children of a deleted lead, and a merge.

    Close documents no events of some types; the connector follows those too, if there are any. Nor does Close document
    whether it logs each email of a deleted thread.
    """
    warehouse.api.settings.event_types_are_complete = not unlogged
    warehouse.api.settings.email_thread_deletion_logs_emails = bool(unlogged)
    old = OldRecords(warehouse, unlogged)
    warehouse.sync()

    warehouse.clock.advance(hours=1)
    new = old.change(back_dated=warehouse.clock() - 50 * DAY)
    warehouse.clock.advance(hours=1)
    result = warehouse.sync()

    rows = {stream: present(result, stream) for stream in FOLLOWING}
    deleted = {stream: deleted_ids(result, stream) for stream in FOLLOWING}
    assert rows["activities"].keys() == old.edited | new | old.moved_activities
    assert rows["tasks"].keys() == old.moved_tasks
    assert rows["leads"].keys() == {old.keeper, old.destination}
    moved = [*(rows["activities"][one] for one in old.moved_activities), *rows["tasks"].values()]
    assert {row["lead_id"] for row in moved} == {old.destination}
    assert deleted["activities"] | deleted["tasks"] == old.gone
    assert deleted["leads"] == {old.source, old.doomed}
    warehouse.assert_is_current()
    assert [result.repeated(stream) for stream in FOLLOWING] == [[], [], []]
    # The events of two hours and fifteen minutes, the windows of three streams, and the records by id.
    assert len(requests_of(warehouse.api, "/event/")) == 3
    assert len(warehouse.api.requests) <= 14


@pytest.mark.parametrize(("kept", "kills"), [("tasks", []), ("event_log", [10])])
def test_deletions_before_a_stream_is_read_anew_are_emitted_as_its_table_may_remain(
    warehouse: Warehouse, kept: str, kills: list[int]
) -> None:
    """Airbyte keeps the table when it fills new columns, and in a refresh that retains records."""
    warehouse.streams = (*FOLLOWING, "event_log")
    warehouse.sync()
    store = warehouse.api.store
    warehouse.clock.advance(hours=1)
    store.delete(min(store.leads.visible.records.keys() - {ANCHORS["lead"]}))
    warehouse.clock.advance(hours=1)
    warehouse.states = {kept: warehouse.states[kept]}
    for kill in kills:
        warehouse.sync(kill_after=kill)
        warehouse.clock.advance(hours=1)
    warehouse.sync()
    warehouse.assert_is_current()

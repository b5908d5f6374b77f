"""Late edits, deletions and merges, which the connector learns from Close's event log."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from integration_tests.close_api import Fault, Volumes
from integration_tests.close_api.kinds import ACTIVITY_PATHS
from integration_tests.harness.fixtures import MakeApi
from integration_tests.harness.moments import DAY, HOUR, moment, text
from integration_tests.harness.running import Result
from integration_tests.harness.schemas import schema_errors
from integration_tests.harness.truth import CURSOR_FIELD
from integration_tests.harness.warehouse import DELETED_AT, FOLLOWING, Clock, Warehouse

TYPES = set(ACTIVITY_PATHS) - {"EmailThread"}
ANCHORS = {"lead": "lead_anchor", "Note": "acti_anchor", "task": "task_anchor"}


def account(make_api: MakeApi, folder: Path, leads: int, streams: tuple[str, ...] = FOLLOWING) -> Warehouse:
    """Return an account of old leads, each with three notes and two tasks."""
    clock = Clock()
    api = make_api(Volumes(users=1), end=clock() - DAY)
    api.settings.now = clock
    long_ago = clock() - 60 * DAY
    # The newest record of each stream, so that no window of a later sync reaches an older record.
    for kind, anchor in ANCHORS.items():
        api.store.load_many(kind, 1, clock() - DAY, id=anchor, **{} if kind == "lead" else {"lead_id": None})
    for number, lead_id in enumerate(api.store.load_many("lead", leads, long_ago, long_ago + DAY)):
        at = long_ago + (number + 1) * HOUR
        api.store.load_many("Note", 3, at, at + HOUR, lead_id=lead_id)
        api.store.load_many("task", 2, at, at + HOUR, lead_id=lead_id, is_complete=False)
    return Warehouse(api, clock, folder, streams)


@pytest.fixture
def warehouse(make_api: MakeApi, tmp_path: Path) -> Warehouse:
    return account(make_api, tmp_path, leads=4)


def leads_of(warehouse: Warehouse) -> list[str]:
    leads = {one.id for one in warehouse.api.store.objects.values() if one.kind == "lead"}
    return sorted(leads - set(ANCHORS.values()))


def notes_of(warehouse: Warehouse) -> list[str]:
    return sorted(warehouse.api.store.collections["activity/note"].records.keys() - set(ANCHORS.values()))


def tasks_of(warehouse: Warehouse) -> list[str]:
    return sorted(warehouse.api.store.collections["task"].records.keys() - set(ANCHORS.values()))


def children_of(warehouse: Warehouse, lead: str) -> list[str]:
    """Return the ids of the activities and tasks of a lead."""
    return [child for child in warehouse.api.store.children_of(lead) if child.startswith(("acti", "task", "noti"))]


def tombstones(result: Result, stream: str) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in result.records(stream) if row.get(DELETED_AT)}


def present(result: Result, stream: str) -> dict[str, dict[str, Any]]:
    rows = {row["id"]: row for row in result.records(stream) if not row.get(DELETED_AT)}
    return {record_id: row for record_id, row in rows.items() if record_id not in ANCHORS.values()}


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
    store, clock = warehouse.api.store, warehouse.clock
    keeper, destination, source, doomed = leads_of(warehouse)
    since, until = clock() - 55 * DAY, clock() - 45 * DAY
    old = {kind: store.load_many(kind, 2, since, until, lead_id=keeper) for kind in sorted(TYPES.difference(unlogged))}
    for kind in unlogged:
        store.load_many(kind, 2, since, until, lead_id=keeper)
    emails = store.load_many("Email", 2, since, until, lead_id=keeper, thread_id="acti_thread")
    thread = {"id": "acti_thread", "emails": [store.get(email) for email in emails], "latest_emails": []}
    store.load_many("EmailThread", 1, since, until, lead_id=keeper, **thread)
    [lonely] = store.load_many("task", 1, clock() - 40 * DAY, clock() - 39 * DAY, lead_id=None)
    moved, orphans = children_of(warehouse, source), children_of(warehouse, doomed)
    created = {record.id: record.data()["date_created"] for record in store.objects.values()}
    warehouse.sync()
    assert warehouse.event_pages() == 0, "a first sync reads no events"

    clock.advance(hours=1)
    began = clock()
    for edited, deleted in old.values():
        store.edit(edited)
        store.delete(deleted)
    back_dated = store.add("Note", lead_id=keeper, date_created=text(began - 50 * DAY))["id"]
    merge = store.merge(source, destination)["id"]
    for one in (doomed, lonely, "acti_thread"):
        store.delete(one)
    clock.advance(hours=1)
    result = warehouse.sync()

    rows = {stream: present(result, stream) for stream in FOLLOWING}
    dead = {stream: tombstones(result, stream) for stream in FOLLOWING}
    of_activities = {one for one in moved if one.startswith("acti")} | {edited for edited, _ in old.values()}
    assert set(rows["activities"]) == {*of_activities, back_dated, merge}
    assert set(rows["tasks"]) == set(moved) - of_activities
    assert set(rows["leads"]) == {keeper, destination}
    gone = {*orphans, *emails, lonely, *(deleted for _, deleted in old.values())}
    assert {*dead["activities"], *dead["tasks"]} == gone
    assert set(dead["leads"]) == {source, doomed}
    assert {row["lead_id"] for one, row in (rows["activities"] | rows["tasks"]).items() if one in moved} == {
        destination
    }
    warehouse.assert_is_current()
    assert sum(len(result.repeated(stream)) for stream in FOLLOWING) == 0
    # A page of events, the windows of three streams, and the records by id.
    assert warehouse.event_pages() == 1
    assert len(warehouse.api.requests) <= 12

    schemas = {one["name"]: one["json_schema"] for one in warehouse.connector().discover().of("CATALOG")[0]["streams"]}
    assert {name for name, schema in schemas.items() if DELETED_AT in schema["properties"]} == set(FOLLOWING)
    for stream in FOLLOWING:
        assert not schema_errors(schemas[stream], result.records(stream))
        sync_start = warehouse.position(stream)
        for record_id, row in dead[stream].items():
            assert row.keys() == {"id", CURSOR_FIELD[stream], DELETED_AT}
            assert began <= moment(row[DELETED_AT]) < clock()
            # The cursor value is new enough that a destination that deduplicates keeps this row.
            dates = [sync_start, created[record_id]] if stream == "activities" else [sync_start]
            assert moment(row[CURSOR_FIELD[stream]]) == max(map(moment, dates))


def test_a_record_that_is_deleted_and_restored_is_present_afterwards(warehouse: Warehouse) -> None:
    store, clock = warehouse.api.store, warehouse.clock
    warehouse.sync()
    lead = leads_of(warehouse)[0]
    kept = {one: store.objects[one] for one in (*children_of(warehouse, lead), lead)}
    for one in kept:
        clock.advance(minutes=2)
        store.delete(one)
    result = warehouse.sync()
    assert kept.keys() <= {row for stream in FOLLOWING for row in tombstones(result, stream)}
    for record in kept.values():
        store.add(record.kind, **record.data() | {"date_updated": text(clock())})
    clock.advance(minutes=1)
    result = warehouse.sync()
    # The log reports the deletions still, and the windows return the lead and the task.
    assert kept.keys() <= {row for stream in FOLLOWING for row in present(result, stream)}
    for stream in FOLLOWING:
        assert tombstones(result, stream).keys().isdisjoint(kept)
        assert result.repeated(stream) == []
    warehouse.assert_is_current()


def test_a_record_that_the_key_can_no_longer_see_is_not_emitted_as_deleted(warehouse: Warehouse) -> None:
    """The log still reports its changes, as the role loses the permission while the sync runs."""
    store, clock = warehouse.api.store, warehouse.clock
    warehouse.sync()
    before = {stream: set(table) for stream, table in warehouse.tables.items()}
    hidden = leads_of(warehouse)[0]
    clock.advance(hours=1)
    for one in (hidden, *store.children_of(hidden)):
        store.edit(one)
    clock.advance(hours=1)

    def hide(_: int) -> None:
        if any(one.path == "/event/" and one.status for one in warehouse.api.requests):
            warehouse.api.settings.hidden_lead_ids = {hidden}

    store.on_request(hide)
    result = warehouse.sync()
    assert warehouse.requests_by_ids("/activity/") == [3]
    assert present(result, "activities") == {}
    assert {stream: set(table) for stream, table in warehouse.tables.items()} == before


def test_several_changes_of_one_record_are_emitted_once(warehouse: Warehouse) -> None:
    store, clock = warehouse.api.store, warehouse.clock
    warehouse.sync()
    note, doomed, *_ = notes_of(warehouse)
    task, *_ = tasks_of(warehouse)
    lead = leads_of(warehouse)[-1]
    clock.advance(hours=2)
    for number in range(4):
        store.edit(note, note=f"edit {number}")
        store.edit(doomed, note=f"edit {number}")
        store.edit(lead, status_id=store.factory.world.lead_statuses[number % 2].id)
        clock.advance(seconds=45 if number < 2 else 600)  # Close folds the first edits into one event
    completed = store.complete_task(task)["id"]
    store.delete(doomed)
    new = store.add("Note", lead_id=lead)["id"]
    store.delete(new)  # no sync has read it
    result = warehouse.sync()
    assert note in present(result, "activities")
    assert completed in present(result, "activities")
    assert result.records("activities").count(present(result, "activities")[note]) == 1
    assert {doomed, new} <= set(tombstones(result, "activities"))
    for stream in FOLLOWING:
        assert result.repeated(stream) == []
    warehouse.assert_is_current()
    clock.advance(minutes=1)
    store.reopen_task(task)
    clock.advance(minutes=1)
    assert completed in tombstones(warehouse.sync(), "activities")
    warehouse.assert_is_current()


def change_many(warehouse: Warehouse, *, notes: int, tasks: int, leads: int) -> None:
    """Edit notes, delete tasks, and edit leads twice; the windows return only the leads."""
    store = warehouse.api.store
    warehouse.api.settings.event_consolidation = 0
    changes: list[Callable[[], object]] = [partial(store.edit, note) for note in notes_of(warehouse)[:notes]]
    changes += [partial(store.delete, task) for task in tasks_of(warehouse)[:tasks]]
    for lead in leads_of(warehouse)[:leads]:
        changes += [partial(store.edit, lead, description=f"edit {number}") for number in (1, 2)]
    store.factory.maker.random.shuffle(changes)
    for change in changes:
        warehouse.clock.advance(seconds=1)
        change()


def test_800_events_take_their_pages_and_one_request_for_each_page_of_records(
    make_api: MakeApi, tmp_path: Path
) -> None:
    warehouse = account(make_api, tmp_path, leads=125, streams=(*FOLLOWING, "event_log"))
    warehouse.sync()
    assert warehouse.event_pages() == 30, "only the stream event_log reads events in a first sync"
    warehouse.clock.advance(hours=1)
    change_many(warehouse, notes=350, tasks=250, leads=100)
    warehouse.clock.advance(hours=1)
    result = warehouse.sync()
    assert len(result.records("event_log")) == 800
    # One pass for all streams that follow the log, and one for the stream event_log, day by day from the last event.
    assert 16 <= warehouse.event_pages() <= 17 + 17 + 31
    assert warehouse.requests_by_ids("/activity/") == [100, 100, 100, 50]
    assert warehouse.requests_by_ids("/task/") == [100, 100, 50]
    # The search finds all leads that have changed, so the log leads to none.
    assert warehouse.requests_by_ids("/lead/") == [126]
    warehouse.assert_is_current()
    # Without changes, one page is read; the stream event_log reads its last five minutes again.
    warehouse.clock.advance(hours=1)
    warehouse.sync()
    assert 1 <= warehouse.event_pages() <= 8
    assert warehouse.requests_by_ids("/activity/") + warehouse.requests_by_ids("/task/") == []


@pytest.mark.parametrize(
    ("path", "failing"),
    [("/event/", FOLLOWING), ("/activity/", ("activities",)), ("/lead/", ("leads",))],
    ids=["the log", "activities by id", "leads by id"],
)
def test_a_failure_while_changes_are_read_keeps_the_position_and_the_next_sync_catches_up(
    warehouse: Warehouse, path: str, failing: tuple[str, ...]
) -> None:
    warehouse.sizes = {"ids_per_request": {100: 5}}
    store, clock, faults = warehouse.api.store, warehouse.clock, warehouse.api.faults
    warehouse.sync()
    clock.advance(hours=1)
    for lead in leads_of(warehouse)[:3]:
        store.delete(lead)
    new = store.add("Note", lead_id=None)["id"]
    clock.advance(hours=1)

    def is_by_ids(query: dict[str, str]) -> bool:
        return path == "/event/" or "id__in" in query

    # Nine activities take two requests by id; the second fails.
    warehouse.retry_seconds = 0.1
    faults.add(Fault("status", path, status=500, when=is_by_ids, after=int(path == "/activity/")))
    positions = {stream: warehouse.position(stream) for stream in failing}
    result = warehouse.sync(fails=True)
    assert result.exit_code != 0
    assert [one for one in FOLLOWING if result.status(one) != "COMPLETE"] == list(failing)
    assert {stream: warehouse.position(stream) for stream in failing} == positions
    # The records of the windows are emitted and saved.
    assert new in present(result, "activities")
    faults.clear()
    faults.add(*(Fault(kind, path, when=is_by_ids, times=1) for kind in ("truncate", "reset", "rate_limit")))
    faults.add(Fault("status", path, when=is_by_ids, times=1, status=200, body=None))
    warehouse.retry_seconds = None
    result = warehouse.sync()
    assert all(fault.struck for fault in faults.rules)
    assert {stream: len(tombstones(result, stream)) for stream in failing} == {
        stream: {"activities": 9, "tasks": 6, "leads": 3}[stream] for stream in failing
    }
    warehouse.assert_is_current()

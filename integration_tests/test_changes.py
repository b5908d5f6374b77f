"""Late edits, deletions and merges, which the connector learns from Close's event log."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from integration_tests.close_api import Volumes
from integration_tests.close_api.faults import Fault
from integration_tests.close_api.kinds import ACTIVITY_PATHS
from integration_tests.harness.fixtures import MakeApi
from integration_tests.harness.moments import DAY, HOUR, moment, text
from integration_tests.harness.running import Result
from integration_tests.harness.schemas import schema_errors
from integration_tests.harness.truth import CURSOR_FIELD
from integration_tests.harness.warehouse import DELETED_AT, FOLLOWING, Clock, Warehouse

TYPES = set(ACTIVITY_PATHS) - {"EmailThread"}
ANCHORS = {"lead": "lead_anchor", "Note": "acti_anchor", "task": "task_anchor"}


@pytest.fixture
def make(make_api: MakeApi, tmp_path: Path) -> Callable[..., Warehouse]:
    """Return a function that makes an account of old leads with notes and tasks: `make(leads=3, num_workers=1)`."""

    def make_warehouse(leads: int = 4, streams: tuple[str, ...] = FOLLOWING, **config: Any) -> Warehouse:
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
        return Warehouse(api, clock, tmp_path, {"attribution_window_hours": 0, **config}, streams)

    return make_warehouse


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
    make: Callable[..., Warehouse], unlogged: tuple[str, ...]
) -> None:
    """Changes are late edits of every type, back-dated records, deletions, children of a deleted lead, and a merge.

    Close documents no events of some types; the connector follows those too, if there are any. Nor does Close document
    whether it logs each email of a deleted thread.
    """
    warehouse = make()
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
        for record_id, row in dead[stream].items():
            assert row.keys() == {"id", CURSOR_FIELD[stream], DELETED_AT}
            assert began <= moment(row[DELETED_AT]) < clock()
            # The cursor value is new enough that a destination that deduplicates keeps this row.
            expected = created[record_id] if stream == "activities" else row[DELETED_AT]
            assert moment(row[CURSOR_FIELD[stream]]) == moment(expected)


def test_a_merge_that_moves_no_date_updated_deletes_the_source_and_emits_the_moved_records(
    make: Callable[..., Warehouse],
) -> None:
    warehouse = make()
    warehouse.api.settings.lead_merge_activity_on = "source"
    warehouse.api.settings.merge_moves_date_updated = False
    warehouse.sync()
    warehouse.assert_is_current()
    source, destination, *_ = leads_of(warehouse)
    moved = children_of(warehouse, source)
    warehouse.clock.advance(hours=3)
    merge = warehouse.api.store.merge(source, destination)["id"]
    warehouse.clock.advance(hours=3)

    result = warehouse.sync()

    assert set(tombstones(result, "leads")) == {source}
    assert destination in present(result, "leads")
    assert set(moved) | {merge} == {*present(result, "activities"), *present(result, "tasks")}
    assert tombstones(result, "activities") == tombstones(result, "tasks") == {}
    warehouse.assert_is_current()


def test_a_record_that_is_deleted_and_restored_is_present_afterwards(make: Callable[..., Warehouse]) -> None:
    warehouse = make()
    store, clock = warehouse.api.store, warehouse.clock
    warehouse.sync()
    lead, note, quiet, task = leads_of(warehouse)[0], *notes_of(warehouse)[:2], tasks_of(warehouse)[0]
    kept = {one: store.objects[one] for one in (lead, note, quiet, task)}
    for restored_before_sync in (True, False):
        for one in (note, quiet, task, lead):
            clock.advance(minutes=2)
            if one in store.objects:
                store.delete(one)
        if not restored_before_sync:
            result = warehouse.sync()
            assert {note, quiet} <= set(tombstones(result, "activities"))
            assert task in tombstones(result, "tasks")
            assert lead in tombstones(result, "leads")
        clock.advance(minutes=10)
        for one in (lead, note, task):
            store.add(kept[one].kind, **kept[one].data() | {"date_updated": text(clock())})
        store.load(kept[quiet].kind, [kept[quiet].data()])  # without an event
        clock.advance(minutes=10)
        result = warehouse.sync()
        if restored_before_sync:
            assert {note, quiet, lead, task}.isdisjoint(
                {*tombstones(result, "activities"), *tombstones(result, "leads"), *tombstones(result, "tasks")}
            )
            warehouse.assert_is_current()
        else:
            # Neither an event nor a date shows that the note was restored.
            warehouse.assert_is_current(ignored={quiet})
        for stream in FOLLOWING:
            assert result.repeated(stream) == []
        clock.advance(hours=1)


def test_a_record_that_the_key_can_no_longer_see_is_not_emitted_as_deleted(make: Callable[..., Warehouse]) -> None:
    warehouse = make()
    store, clock = warehouse.api.store, warehouse.clock
    warehouse.sync()
    before = {stream: dict(table) for stream, table in warehouse.tables.items()}
    hidden, *_ = leads_of(warehouse)
    clock.advance(hours=1)
    store.edit(hidden, description="edited")
    for child in store.children_of(hidden):
        store.edit(child)
    warehouse.api.settings.hidden_lead_ids = {hidden}
    clock.advance(hours=1)
    result = warehouse.sync()
    assert {**present(result, "activities"), **present(result, "tasks"), **present(result, "leads")} == {}
    assert warehouse.tables == before
    # The same is true if the log still reports its changes, because the role changes during the sync.
    warehouse.api.settings.hidden_lead_ids = set()
    clock.advance(hours=1)
    store.edit(hidden, description="edited again")
    for child in store.children_of(hidden):
        store.edit(child)
    clock.advance(days=2)

    def hide(_: int) -> None:
        if any(
            "date_updated__gte" in one.query and one.path == "/event/" and one.status for one in warehouse.api.requests
        ):
            warehouse.api.settings.hidden_lead_ids = {hidden}

    stop = store.on_request(hide)
    result = warehouse.sync(["activities"])
    stop()
    assert warehouse.refetches("/activity/") != []
    assert present(result, "activities") == tombstones(result, "activities") == {}


def test_several_changes_of_one_record_are_emitted_once(make: Callable[..., Warehouse]) -> None:
    warehouse = make()
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


def test_changes_in_the_log_are_emitted_after_the_windows(make: Callable[..., Warehouse]) -> None:
    """Even if the windows are slow, no record is emitted twice, and no deletion before the row of its record."""
    warehouse = make(streams=("activities",))
    store, clock = warehouse.api.store, warehouse.clock
    warehouse.sync()
    clock.advance(hours=1)
    kept, doomed = (store.add("Note", lead_id=None)["id"] for _ in range(2))
    for one in (kept, doomed):
        store.edit(one)
    clock.advance(minutes=1)

    def delete_late(_: int) -> None:
        """Delete after the windows are read, with a timestamp from before the sync, as if a clock were behind."""
        if doomed in store.objects and any(entry.path == "/event/" for entry in warehouse.api.requests):
            before, clock.now = clock(), clock() - timedelta(seconds=30)
            store.delete(doomed)
            clock.now = before

    stop = store.on_request(delete_late)
    warehouse.api.faults.add(Fault("slow", "/activity/", seconds=0.4, when=lambda query: "id__in" not in query))
    result = warehouse.sync()
    stop()
    assert result.ids("activities").count(kept) == 1
    assert [DELETED_AT in row for row in result.records("activities") if row["id"] == doomed] == [False, True]
    warehouse.assert_is_current("activities")


def test_a_change_in_the_log_and_in_a_window_is_emitted_once(make: Callable[..., Warehouse]) -> None:
    warehouse = make()
    store, clock = warehouse.api.store, warehouse.clock
    warehouse.sync()
    clock.advance(days=25)
    warehouse.sync()  # returns nothing, so the windows of the next sync start a month and a half before it
    clock.advance(hours=1)
    task, lead = store.edit(tasks_of(warehouse)[0])["id"], store.edit(leads_of(warehouse)[0], description="new")["id"]
    note = store.add("Note", lead_id=lead)["id"]
    clock.advance(days=20)
    today = text(clock() - DAY)

    def is_before_the_last_window(query: dict[str, str]) -> bool:
        return any(name.endswith("__lt") and value < today for name, value in query.items())

    for path in ("/activity/", "/task/"):
        warehouse.api.faults.add(Fault("slow", path, seconds=0.4, when=is_before_the_last_window))
    result = warehouse.sync()
    for stream, record_id in (("tasks", task), ("leads", lead), ("activities", note)):
        assert result.ids(stream).count(record_id) == 1
        assert result.repeated(stream) == []
    assert all(fault.struck == 1 for fault in warehouse.api.faults.rules)
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


def test_800_events_take_their_pages_and_one_request_for_each_100_records(make: Callable[..., Warehouse]) -> None:
    warehouse = make(leads=125, streams=(*FOLLOWING, "event_log"))
    warehouse.sync()
    assert warehouse.event_pages() == 30, "only the stream event_log reads events in a first sync"
    warehouse.clock.advance(hours=1)
    change_many(warehouse, notes=350, tasks=250, leads=100)
    warehouse.clock.advance(hours=1)
    result = warehouse.sync()
    assert len(result.records("event_log")) == 800
    # One pass for all streams that follow the log, and one for the stream event_log, day by day from the last event.
    assert 16 <= warehouse.event_pages() <= 17 + 17 + 31
    # Leads are read by search. The custom values of the first page are compared with a read by ids.
    for path, count, requests in (("/activity/", 350, 4), ("/task/", 250, 3), ("/lead/", 126, 2)):
        refetches = warehouse.refetches(path)
        assert (sum(map(len, refetches)), len(refetches)) == (count, requests)
    warehouse.assert_is_current()
    # Without changes, one page is read; the stream event_log reads its last five minutes again.
    warehouse.clock.advance(hours=1)
    warehouse.sync()
    assert 1 <= warehouse.event_pages() <= 8
    assert warehouse.refetches("/activity/") + warehouse.refetches("/task/") == []


def test_a_deleted_lead_that_search_still_returns_stays_deleted(make: Callable[..., Warehouse]) -> None:
    """Search lags by eight minutes, the log does not. The windows of each sync, four minutes apart, return the lead."""
    warehouse = make(streams=("leads",))
    store, clock = warehouse.api.store, warehouse.clock
    warehouse.sync()
    clock.advance(hours=1)
    doomed, other, *_ = leads_of(warehouse)
    store.edit(doomed, description="seen just before")
    clock.advance(minutes=1)
    warehouse.api.settings.search_lag = 8 * 60
    store.delete(doomed)
    for _ in range(2):
        clock.advance(seconds=230)
        store.edit(other, description=text(clock()))
        warehouse.sync()
        assert doomed not in warehouse.tables["leads"]
    clock.advance(minutes=9)
    warehouse.sync()
    warehouse.assert_is_current("leads")


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0)])
def test_one_worker_reads_the_streams_in_any_order(make: Callable[..., Warehouse], order: tuple[int, ...]) -> None:
    names = ("activities", "leads", "tasks", "event_log")
    warehouse = make(leads=25, streams=[names[one] for one in order], num_workers=1)
    warehouse.sync()
    warehouse.clock.advance(hours=1)
    change_many(warehouse, notes=70, tasks=50, leads=20)
    warehouse.clock.advance(hours=2)
    del warehouse.states["event_log"]  # its first sync splits windows, and the other streams wait for them
    warehouse.sync([*warehouse.streams, "users", "custom_fields"])
    assert warehouse.event_pages() >= 33 + 4, "thirty windows, one of four pages, and four pages for the other streams"
    warehouse.assert_is_current()


@pytest.mark.parametrize(
    ("path", "failing"),
    [("/event/", FOLLOWING), ("/activity/", ("activities",)), ("/lead/", ("leads",))],
    ids=["the log", "activities by id", "leads by id"],
)
def test_a_failure_while_changes_are_read_keeps_the_position_and_the_next_sync_catches_up(
    make: Callable[..., Warehouse], path: str, failing: tuple[str, ...]
) -> None:
    warehouse = make(leads=6)
    warehouse.sizes = {"ids_per_request": {100: 10}}
    store, clock, faults = warehouse.api.store, warehouse.clock, warehouse.api.faults
    warehouse.sync()
    clock.advance(hours=1)
    for lead in leads_of(warehouse)[:5]:
        store.delete(lead)
    new = store.add("Note", lead_id=None)["id"]
    clock.advance(hours=1)

    def is_by_ids(query: dict[str, str]) -> bool:
        return path == "/event/" or "id__in" in query

    # Fifteen activities take two requests by id; the second fails.
    warehouse.retry_seconds = 0.1
    faults.add(Fault("status", path, status=500, when=is_by_ids, after=int(path == "/activity/")))
    positions = {stream: warehouse.position(stream) for stream in failing}
    result = warehouse.sync(complete=False)
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
        stream: {"activities": 15, "tasks": 10, "leads": 5}[stream] for stream in failing
    }
    warehouse.assert_is_current()

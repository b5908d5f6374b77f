"""Late edits, deletions and merges, which the connector learns from Close's event log."""

from pathlib import Path
from typing import Any

import pytest

from integration_tests.close_api import Volumes
from integration_tests.close_api.kinds import ACTIVITY_PATHS
from integration_tests.harness.fixtures import MakeApi
from integration_tests.harness.moments import DAY, HOUR, moment, text
from integration_tests.harness.running import Result
from integration_tests.harness.schemas import schema_errors
from integration_tests.harness.truth import CURSOR_FIELD, requests_of
from integration_tests.harness.warehouse import DELETED_AT, FOLLOWING, Clock, Warehouse

TYPES = set(ACTIVITY_PATHS) - {"EmailThread"}
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
    keeper, destination, source, doomed = sorted(store.leads.visible.records.keys() - {ANCHORS["lead"]})
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
    assert requests_of(warehouse.api, "/event/") == [], "a first sync reads no events"

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
    [events] = requests_of(warehouse.api, "/event/")
    assert len(warehouse.api.requests) <= 12

    schemas = {one["name"]: one["json_schema"] for one in warehouse.connector().discover().of("CATALOG")[0]["streams"]}
    assert {name for name, schema in schemas.items() if DELETED_AT in schema["properties"]} == set(FOLLOWING)
    for stream in FOLLOWING:
        assert not schema_errors(schemas[stream], result.records(stream))
        sync_start = events["date_updated__lt"]
        for record_id, row in dead[stream].items():
            assert row.keys() == {"id", CURSOR_FIELD[stream], DELETED_AT}
            assert began <= moment(row[DELETED_AT]) < clock()
            # The cursor value is new enough that a destination that deduplicates keeps this row.
            dates = [sync_start, created[record_id]] if stream == "activities" else [sync_start]
            assert moment(row[CURSOR_FIELD[stream]]) == max(map(moment, dates))


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

"""A sync that is killed at any point: the next sync emits what it has not saved."""

from copy import deepcopy
from pathlib import Path

import pytest

from integration_tests.close_api import Volumes
from integration_tests.harness.fixtures import MakeApi
from integration_tests.harness.moments import DAY
from integration_tests.harness.warehouse import FOLLOWING, Clock, Warehouse


@pytest.fixture
def warehouse(make_api: MakeApi, tmp_path: Path) -> Warehouse:
    clock = Clock()
    volumes = Volumes(activities=90, leads=20, tasks=40, users=1)
    api = make_api(volumes, start=clock() - 70 * DAY, end=clock() - 40 * DAY)
    api.settings.now = clock
    api.store.log_event()  # so that later syncs of the stream event_log have one window
    return Warehouse(api, clock, tmp_path, (*FOLLOWING, "event_log"))


def pick(warehouse: Warehouse, collection: str) -> str:
    return str(warehouse.api.store.factory.maker.pick(sorted(warehouse.api.store.collections[collection].records)))


def change(warehouse: Warehouse) -> None:
    """Make changes of every kind that the log reports."""
    store = warehouse.api.store
    clock = warehouse.clock
    leads = sorted(store.factory.world.lead_ids)
    store.merge(leads[0], leads[1])
    store.delete(leads[2])
    for collection in ("activity/note", "activity/call", "task"):
        for _ in range(3):
            clock.advance(seconds=30)
            store.edit(pick(warehouse, collection))
        store.delete(pick(warehouse, collection))
    store.add("Note", lead_id=leads[3], note="back-dated", date_created="2024-04-05T06:07:08+00:00")
    store.add("lead")
    clock.advance(seconds=30)


def unlogged(warehouse: Warehouse) -> set[str]:
    """Return the ids of records that the log does not report: activities of the types `Created` and `ImportUpdate`."""
    present = {one.id: one.data() for one in warehouse.api.store.objects.values()}
    known = warehouse.tables["activities"] | present
    return {record_id for record_id, row in known.items() if row.get("_type") in {"Created", "ImportUpdate"}}


def test_an_incremental_sync_killed_at_any_point_loses_no_change(warehouse: Warehouse) -> None:
    """The destination keeps the printed rows, and the next sync starts from the last printed state."""
    warehouse.sync()
    warehouse.clock.advance(hours=1)
    change(warehouse)
    warehouse.clock.advance(hours=1)
    tables = deepcopy(warehouse.tables)
    states = dict(warehouse.states)
    lines = len(warehouse.sync().messages)
    wanted = {stream: dict(warehouse.tables[stream]) for stream in FOLLOWING}
    warehouse.assert_is_current(ignored=unlogged(warehouse))
    advanced = 0
    # The positions in the log change in the last lines.
    for kill_after in (*range(12, lines - 8, lines // 2), *range(lines - 8, lines, 3)):
        warehouse.tables = deepcopy(tables)
        warehouse.states = dict(states)
        positions = {stream: warehouse.position(stream) for stream in FOLLOWING}
        warehouse.sync(kill_after=kill_after)
        for stream in FOLLOWING:
            # If the position has advanced, every change in the log has been printed.
            if warehouse.position(stream) != positions[stream]:
                advanced += 1
                assert warehouse.tables[stream] == wanted[stream]
        warehouse.sync()
        assert {stream: warehouse.tables[stream] for stream in FOLLOWING} == wanted
        assert all(warehouse.position(stream) > positions[stream] for stream in FOLLOWING)
    assert advanced, "no read was killed after a position had moved"

"""`make test-duckdb`: examples/duckdb_sync.py against the local API, and the queries of docs/ on what it brought.

PyAirbyte and DuckDB are large, so they have an environment of their own, build/duckdb; this runs in the project's.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from integration_tests.close_api import LocalCloseApi, Volumes
from integration_tests.close_api.kinds import event_type
from integration_tests.running import STREAMS
from integration_tests.truth import DAY, ids, now

PROJECT = Path(__file__).resolve().parent.parent
BIN = PROJECT / "build" / "duckdb" / "bin"
VOLUMES = Volumes(activities=420, leads=60, tasks=90, events=200, users=8, custom_fields=4)
QUERY = """
import duckdb, json, sys
with duckdb.connect(sys.argv[1]) as database:
    print(json.dumps(database.execute(sys.stdin.read()).fetchall(), default=str))
"""
# Event types of `Created` and `ImportUpdate`: none, and that of the whole import.
UNLOGGED = (None, "import")
TWICE = "SELECT * REPLACE ('0' AS _airbyte_raw_id) FROM leads"


class Database:
    """The DuckDB file that the example fills."""

    def __init__(self, folder: Path, api: LocalCloseApi) -> None:
        self._folder = folder
        config = {"api_key": api.settings.api_key, "base_url": api.url}
        (folder / "config.json").write_text(json.dumps(config))

    def sync(self) -> str:
        """Run the example; what it prints."""
        return self._python(str(PROJECT / "examples" / "duckdb_sync.py"), "config.json", "close.duckdb")

    def query(self, sql: str) -> list[list[Any]]:
        rows: list[list[Any]] = json.loads(self._python("-c", QUERY, "close.duckdb", sql=sql))
        return rows

    def ids(self, table: str) -> list[str]:
        return [row[0] for row in self.query(f"SELECT id FROM {table}")]  # noqa: S608

    def _python(self, *words: str, sql: str = "") -> str:
        # Offline: no look into Airbyte's registry, and no usage statistics.
        environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "AIRBYTE_OFFLINE_MODE": "1"}
        result = subprocess.run(
            [str(BIN / "python"), *words],
            cwd=self._folder,
            input=sql,
            capture_output=True,
            text=True,
            check=False,
            env=environment,
        )
        assert result.returncode == 0, (result.stdout + result.stderr)[-4_000:]
        return result.stdout


def assert_same(database: Database, api: LocalCloseApi, besides: Iterable[str] = ()) -> None:
    """Each table holds each record of its stream once, and nothing else but those `besides`."""
    end = now()
    for stream in STREAMS:
        found = database.ids(stream)
        assert len(found) == len(set(found)), stream
        # A meeting ahead comes before its date if it was changed.
        assert ids(api, stream, None, end) <= set(found), stream
        assert set(found) - ids(api, stream) <= set(besides), stream


@dataclass
class Changes:
    """What people did in Close between the two syncs, by the ids of what they did it to."""

    deleted_lead: str
    its_activities: set[str]
    its_unlogged_activities: set[str]
    merged_lead: str
    edited_lead: str
    edited_note: str
    deleted_task: str
    completed_task: str
    new: dict[str, str]
    new_field: str


def change(api: LocalCloseApi) -> Changes:
    """Something of every kind."""
    store = api.store
    deleted, merged, edited, destination = sorted(ids(api, "leads"))[:4]
    children = store.children_of(deleted)
    activities = {child: store.objects[child] for child in children if child.startswith("acti_")}
    logged = {child for child, record in activities.items() if event_type(record.kind, record.type) not in UNLOGGED}
    to_delete, to_complete = sorted(task for task in ids(api, "tasks") if task not in children)[:2]
    notes = [record for record in store.collections["activity/note"].records.values() if record.id not in children]
    oldest_note = min(notes, key=lambda record: record.created).id
    field = store.add("custom_field.lead", name="Budget", type="text", accepts_multiple_values=False)["id"]
    store.edit(oldest_note, note="Edited late")
    store.edit(edited, display_name="Renamed Ltd", **{f"custom.{field}": "A value of a new field"})
    store.merge(merged, destination)
    store.delete(deleted)
    store.delete(to_delete)
    store.complete_task(to_complete)
    new = {"leads": store.add("lead"), "users": store.add("user"), "tasks": store.add("task")}
    new["activities"] = store.add("Note", lead_id=destination)
    return Changes(
        deleted_lead=deleted,
        its_activities=logged,
        its_unlogged_activities=activities.keys() - logged,
        merged_lead=merged,
        edited_lead=edited,
        edited_note=oldest_note,
        deleted_task=to_delete,
        completed_task=to_complete,
        new={"custom_fields": field, **{stream: record["id"] for stream, record in new.items()}},
        new_field=field,
    )


@pytest.fixture(scope="module")
def synced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Database, LocalCloseApi, Changes]]:
    """A database after two syncs with changes in between."""
    with LocalCloseApi(VOLUMES, start=now() - 300 * DAY) as api:
        database = Database(tmp_path_factory.mktemp("duckdb"), api)
        printed = database.sync()
        assert_same(database, api)
        for stream in STREAMS:
            assert re.search(rf"^{stream} +{len(database.ids(stream))}$", printed, re.MULTILINE), printed
        changes = change(api)
        # As if a record had come twice in one read.
        database.query(f"INSERT INTO leads {TWICE} WHERE id = '{changes.edited_lead}'")
        database.sync()
        yield database, api, changes


def test_the_second_sync_brings_what_changed_and_removes_what_was_deleted(
    synced: tuple[Database, LocalCloseApi, Changes],
) -> None:
    database, api, changes = synced
    # Of `Created` and `ImportUpdate` the event log knows nothing: they stay when their lead goes.
    assert_same(database, api, changes.its_unlogged_activities)
    for stream, record_id in changes.new.items():
        assert record_id in database.ids(stream), stream
    assert not {changes.deleted_lead, changes.merged_lead} & set(database.ids("leads"))
    assert changes.its_activities
    assert not changes.its_activities & set(database.ids("activities"))
    assert changes.deleted_task not in database.ids("tasks")


@pytest.mark.parametrize(
    ("table", "record", "column", "value"),
    [
        ("activities", "edited_note", "note", "Edited late"),
        ("leads", "edited_lead", "display_name", "Renamed Ltd"),
        ("leads", "edited_lead", "custom_{new_field}", "A value of a new field"),
        ("tasks", "completed_task", "is_complete", True),
    ],
)
def test_an_edit_is_there_after_the_second_sync(
    synced: tuple[Database, LocalCloseApi, Changes], table: str, record: str, column: str, value: object
) -> None:
    database, _, changes = synced
    column = column.format(new_field=changes.new_field)
    rows = database.query(f"SELECT {column} FROM {table} WHERE id = '{getattr(changes, record)}'")  # noqa: S608
    assert rows == [[value]]


def queries() -> list[Any]:
    """Every query in docs/, named by its file and line."""
    pages = [(page.name, page.read_text()) for page in sorted((PROJECT / "docs").glob("*.md"))]
    return [
        pytest.param(block[1], id=f"{name}:{text.count(chr(10), 0, block.start()) + 1}")
        for name, text in pages
        for block in re.finditer(r"^```sql\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    ]


@pytest.mark.parametrize("sql", queries())
def test_a_query_of_the_documentation_runs_and_finds_something(
    synced: tuple[Database, LocalCloseApi, Changes], sql: str
) -> None:
    assert synced[0].query(sql)

"""What the checks of DuckDB and Postgres share: a database that PyAirbyte writes, and changes between two syncs.

PyAirbyte is large, so it has its own environment, build/pyairbyte. The checks run in the project's environment.
"""

import json
import os
import re
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from integration_tests.close_api import LocalCloseApi, Volumes
from integration_tests.close_api.kinds import event_type
from integration_tests.harness.moments import DAY, HOUR, now
from integration_tests.harness.running import PROJECT, STREAMS
from integration_tests.harness.sql_truth import VIEWS, Row, canonical
from integration_tests.harness.truth import clock_at, ids

EXAMPLES = PROJECT / "examples"
BIN = PROJECT / "build" / "pyairbyte" / "bin"
# Enough custom fields that some accept several values.
VOLUMES = Volumes(activities=420, leads=60, tasks=90, events=200, users=8, custom_fields=15)
# Far from UTC, so that a query that treats the session's time as UTC returns other rows.
TIME_ZONE = "America/Los_Angeles"
# Event types of activities that the log does not report: `Created` has none, `ImportUpdate` that of its import.
UNLOGGED = (None, "import")
# The type of the new custom fields.
TEXT = {"type": "text", "accepts_multiple_values": False}
# Appended to a script that defines `run(sql)`, which returns the column names and the rows.
QUERY = """
import datetime, decimal, json, sys

def plain(value):
    if isinstance(value, datetime.datetime):
        return value.isoformat(timespec="milliseconds")
    return float(value) if isinstance(value, decimal.Decimal) else str(value)

names, rows = run(sys.stdin.read())
print(json.dumps([dict(zip(names, row)) for row in rows], default=plain))
"""


class Database(ABC):
    """A database to which an example syncs the local API."""

    example: str
    views: str
    # Code that defines `run(sql)` for QUERY.
    run: str

    def __init__(self, folder: Path, api: LocalCloseApi) -> None:
        self._folder = folder
        config = {"api_key": api.settings.api_key, "base_url": api.url}
        (folder / "config.json").write_text(json.dumps(config))

    @abstractmethod
    def _address(self) -> list[str]:
        """Return the command-line arguments with the address of the database."""

    def _environment(self) -> dict[str, str]:
        # Send no usage statistics. Without AIRBYTE_OFFLINE_MODE, to test that the examples set it themselves.
        given = {name: value for name, value in os.environ.items() if name != "AIRBYTE_OFFLINE_MODE"}
        return {**given, "PATH": f"{BIN}:{os.environ['PATH']}", "DO_NOT_TRACK": "1", "TZ": TIME_ZONE}

    def sync(self) -> str:
        """Run the example; return what it prints."""
        return self.python(str(EXAMPLES / self.example), "config.json", *self._address())

    def query(self, sql: str) -> list[Row]:
        """Run SQL statements; return the rows of the last one, keyed by column name."""
        rows: list[Row] = json.loads(self.python("-c", self.run + QUERY, *self._address(), sql=sql))
        return rows

    def ids(self, table: str) -> list[str]:
        return [row["id"] for row in self.query(f"SELECT id FROM {table}")]  # noqa: S608 - a stream's name

    def python(self, *words: str, sql: str = "") -> str:
        """Run Python in the environment of PyAirbyte; return its output. Only a run of `sql` may print a warning."""
        result = subprocess.run(
            [str(BIN / "python"), *words],
            cwd=self._folder,
            input=sql,
            capture_output=True,
            text=True,
            check=False,
            env=self._environment(),
        )
        printed = result.stdout + result.stderr
        assert result.returncode == 0, printed[-4_000:]
        assert [line for line in printed.splitlines() if not sql and re.search("Could not|Warning", line)] == []
        return result.stdout


def assert_tables_match(database: Database, api: LocalCloseApi, ignored: Iterable[str] = ()) -> None:
    """Assert that each table has each record of its stream once, and no other rows except `ignored`."""
    end = now()
    for stream in STREAMS:
        found = database.ids(stream)
        assert len(found) == len(set(found)), stream
        # A meeting in the future is emitted before its date if it was changed.
        assert ids(api, stream, None, end) <= set(found), stream
        assert set(found) - ids(api, stream) <= set(ignored), stream


def add_records_near_query_bounds(api: LocalCloseApi) -> None:
    """Add records a few hours off the bounds in the queries of docs/, which cross the bounds in a wrong time zone."""
    store = api.store
    present = now()
    for hours in (-3, 3):
        store.load_many("Call", 1, present - 30 * DAY + hours * HOUR)
        [lead] = store.load_many("lead", 1, present - 70 * DAY)
        store.load_many("Call", 1, present - 60 * DAY + hours * HOUR, lead_id=lead)
        [note] = store.load_many("Note", 1, present - 20 * DAY)
        with clock_at(api, present - 7 * DAY + hours * HOUR):
            store.delete(note)
    store.load_many("Call", 1, present - 3 * HOUR)
    for days in (-1, 0, 1):
        store.load_many("task", 1, present - 5 * DAY, date=str((present + days * DAY).date()), is_complete=False)


class Changes:
    """Changes of every kind between the two syncs, and the ids of the records that they change."""

    def __init__(self, api: LocalCloseApi) -> None:
        store = api.store
        created = {one.lead_id for one in store.collections["activity/created"].records.values() if one.lead_id}
        imported = {one.lead_id for one in store.collections["activity/import_update"].records.values()}
        # The `Created` activity of this lead stays in the table.
        self.deleted_lead = min(created)
        # The log would not report the new lead of its unlogged activities.
        leads = sorted(ids(api, "leads") - created - imported)
        self.merged_lead, self.edited_lead, destination = leads[:3]
        children = store.children_of(self.deleted_lead)
        activities = [store.objects[child] for child in children if child.startswith("acti_")]
        logged = [record for record in activities if event_type(record.kind, record.type) not in UNLOGGED]
        self.its_activities = {record.id for record in logged}
        self.its_unlogged_activities = {record.id for record in activities} - self.its_activities
        self.deleted_task, self.completed_task = sorted(ids(api, "tasks").difference(children))[:2]
        notes = store.collections["activity/note"].records.values()
        kept_notes = [record for record in notes if record.id not in children]
        self.edited_note = min(kept_notes, key=lambda record: record.created).id
        # Two names differ only in case, and one is also the name of a column.
        named = [store.add("custom_field.lead", name=name, **TEXT) for name in ("Budget", "Region", "region", "Name")]
        # Texts that look like numbers: 0012, 0013 and so on.
        values = {f"custom.{field['id']}": f"00{number}" for number, field in enumerate(named, 12)}
        store.edit(self.edited_note, note="Edited late")
        store.edit(self.edited_lead, display_name="Renamed Ltd", **values)
        store.merge(self.merged_lead, destination)
        store.delete(self.deleted_lead)
        store.delete(self.deleted_task)
        store.complete_task(self.completed_task)
        self.new_field: str = named[0]["id"]
        self.new: dict[str, str] = {"custom_fields": self.new_field}
        for stream, kind in (("leads", "lead"), ("users", "user"), ("tasks", "task")):
            self.new[stream] = store.add(kind)["id"]
        self.new["activities"] = store.add("Note", lead_id=destination)["id"]


Synced = tuple[Database, LocalCloseApi, Changes]


def sync_twice(database: Database, api: LocalCloseApi, twice: str) -> Changes:
    """Sync, create the views, change data and sync again; return the changes.

    `twice` selects the leads to insert a second time, as if one read had emitted them twice.
    """
    add_records_near_query_bounds(api)
    printed = database.sync()
    assert_tables_match(database, api)
    for stream in STREAMS:
        assert re.search(rf"^{stream} +{len(database.ids(stream))}$", printed, re.MULTILINE), printed
    database.query((EXAMPLES / database.views).read_text())
    changes = Changes(api)
    database.query(f"INSERT INTO leads {twice} WHERE id = '{changes.edited_lead}'")
    database.sync()
    return changes


class DatabaseTests:
    """The tests of the tables and views, for a fixture `synced` with the database, the API and the changes."""

    # Inserts copies of all rows of `table`, with the id `id` and marked as deleted.
    marked: str

    def test_the_second_sync_writes_changes_and_removes_deleted_records(self, synced: Synced) -> None:
        database, api, changes = synced
        # The event log has no events of `Created` and `ImportUpdate`: they stay when their lead is deleted.
        assert_tables_match(database, api, changes.its_unlogged_activities)
        assert changes.its_unlogged_activities
        assert changes.its_unlogged_activities <= set(database.ids("activities"))
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
            ("leads", "edited_lead", "custom_{new_field}", "0012"),
            ("tasks", "completed_task", "is_complete", True),
        ],
    )
    def test_the_second_sync_writes_an_edit(
        self, synced: Synced, table: str, record: str, column: str, value: object
    ) -> None:
        database, _, changes = synced
        column = column.format(new_field=changes.new_field)
        rows = database.query(f"SELECT {column} FROM {table} WHERE id = '{getattr(changes, record)}'")  # noqa: S608 - ours
        assert value_of(rows) == value

    @pytest.mark.parametrize("view", VIEWS)
    def test_a_view_returns_the_rows_that_the_api_has(self, synced: Synced, view: str) -> None:
        database, api, _ = synced
        expected = canonical(VIEWS[view](api))
        assert expected
        assert canonical(database.query(f"SELECT * FROM {view}")) == expected  # noqa: S608 - a name of ours

    @pytest.mark.parametrize("view", VIEWS)
    def test_a_view_leaves_out_records_marked_as_deleted(self, synced: Synced, view: str) -> None:
        """Without the example's cleanup, the table would contain the deleted lead as a marked row, as inserted here.

        Without a COMMIT, the rows disappear with the connection.
        """
        database, api, changes = synced
        leads = self.marked.format(table="leads", id=changes.deleted_lead)
        notes = self.marked.format(table="activities", id="acti_gone")
        rows = database.query(f"BEGIN; {leads}; {notes}; SELECT * FROM {view}")  # noqa: S608 - names of ours
        assert canonical(rows) == canonical(VIEWS[view](api))


def value_of(rows: list[Row]) -> Any:
    """Return the value of a query that returns one row with one column."""
    [row] = rows
    [value] = row.values()
    return value

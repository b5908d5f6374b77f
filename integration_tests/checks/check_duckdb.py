"""`make test-duckdb`: examples/duckdb_sync.py, its views and the queries of docs/, run on the local API."""

import json
import re
from collections.abc import Iterator

import pytest
import yaml

from integration_tests.close_api import LocalCloseApi
from integration_tests.harness.moments import DAY, now
from integration_tests.harness.pyairbyte import (
    TIME_ZONE,
    VOLUMES,
    Database,
    DatabaseTests,
    Synced,
    sync_twice,
    value_of,
)
from integration_tests.harness.running import PROJECT, STREAMS
from integration_tests.harness.sql_truth import QUERIES, canonical, custom_values_view, named_leads
from integration_tests.harness.truth import ids

TWICE = "SELECT * REPLACE ('0' AS _airbyte_raw_id) FROM leads"
NAMED_LEADS = "create the view `named_leads`"
NEWEST = "The latest version of each record in a table with all versions"
COLUMNS = yaml.safe_load((PROJECT / "unit_tests" / "columns.yaml").read_text())
TYPES = {
    "array": {"JSON"},
    "boolean": {"BOOLEAN"},
    "integer": {"BIGINT"},
    "number": {"DECIMAL(38,9)"},
    "object": {"JSON"},
    "string": {"VARCHAR", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE"},
}
# Objects that the connector converts to JSON text.
JSON_TEXT = {("event_log", "data"), ("event_log", "previous_data")}
# Columns without a value: Close returns them on request, or while a conversion runs.
EMPTY = {"activities": {"recording_transcript", "voicemail_transcript"}, "custom_fields": {"converting_to_type"}}
VIEW_IN_USE = "This query reads one field."
WITHOUT_DELETED_LEADS = "This query leaves out the `Created` and `ImportUpdate` activities"


class DuckDB(Database):
    """The DuckDB file that the example writes."""

    example = "duckdb_sync.py"
    views = "views_duckdb.sql"
    run = f"""
import duckdb, sys
def run(sql):
    with duckdb.connect(sys.argv[1]) as database:
        database.execute("SET TimeZone = '{TIME_ZONE}'; SET enable_progress_bar = false")
        result = database.execute(sql)
        return [column[0] for column in result.description], result.fetchall()
"""

    def _address(self) -> list[str]:
        return ["close.duckdb"]


@pytest.fixture(scope="module")
def synced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Synced]:
    """Yield a database after two syncs with changes in between; the views are created after the first sync."""
    with LocalCloseApi(VOLUMES, start=now() - 300 * DAY) as api:
        database = DuckDB(tmp_path_factory.mktemp("duckdb"), api)
        yield database, api, sync_twice(database, api, TWICE)


class TestDatabase(DatabaseTests):
    marked = "INSERT INTO {table} SELECT * REPLACE ('{id}' AS id, date_updated AS _ab_cdc_deleted_at) FROM {table}"


def queries() -> dict[str, str]:
    """Return every SQL query in docs/, keyed by the paragraph before it."""
    found = {}
    for page in sorted((PROJECT / "docs").glob("*.md")):
        parts = re.split(r"^```sql\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL)
        for before, sql in zip(parts[::2], parts[1::2], strict=False):
            paragraph = before.strip().split("\n\n")[-1]
            found[paragraph.replace("\n", " ")] = sql
    return found


def query(start: str) -> str:
    """Return the query after the one paragraph that contains `start`."""
    [found] = [sql for words, sql in queries().items() if start in words]
    return found


def test_every_query_of_the_documentation_is_tested() -> None:
    rest = [words for words in queries() if words not in QUERIES]
    assert len(rest) == 4
    assert all(query(words) for words in (NAMED_LEADS, NEWEST, VIEW_IN_USE, WITHOUT_DELETED_LEADS))


@pytest.mark.parametrize("words", QUERIES)
def test_a_query_of_the_documentation_returns_the_rows_that_the_api_has(synced: Synced, words: str) -> None:
    database, api, _ = synced
    expected = canonical(QUERIES[words](api))
    assert expected
    assert canonical(database.query(queries()[words])) == expected


def test_the_query_of_the_documentation_leaves_out_activities_of_deleted_leads(synced: Synced) -> None:
    database, api, changes = synced
    found = [row["id"] for row in database.query(query(WITHOUT_DELETED_LEADS))]
    assert sorted(found) == sorted(set(database.ids("activities")) - changes.its_unlogged_activities)
    assert set(found) <= ids(api, "activities")


def test_the_query_of_the_documentation_on_custom_values_returns_the_values_of_a_field(synced: Synced) -> None:
    database, api, changes = synced
    rows = [row for row in custom_values_view(api) if (row["object_type"], row["field"]) == ("lead", "Budget")]
    expected = [{"lead_id": row["lead_id"], "value": row["value"]} for row in rows]
    assert {"lead_id": changes.edited_lead, "value": "0012"} in expected
    assert canonical(database.query(query(VIEW_IN_USE))) == canonical(expected)


def test_the_tables_have_the_columns_that_the_documentation_names(synced: Synced) -> None:
    database, _, _ = synced
    rows = database.query(query("The name and meaning of each column."))
    names = {"lead": "leads", "activity": "activities", "custom_activity_type": "activities"}
    wanted = {(names[row["belongs_to"]], row["key"]) for row in rows if row["belongs_to"] in names}
    columns = database.query("SELECT table_name, column_name FROM information_schema.columns")
    assert {table for table, _ in wanted} == {"leads", "activities"}
    assert wanted <= {(row["table_name"], row["column_name"]) for row in columns}


@pytest.mark.parametrize("stream", COLUMNS)
def test_a_table_has_every_known_column_with_its_type(synced: Synced, stream: str) -> None:
    database, _, _ = synced
    types = f"SELECT column_name, data_type FROM information_schema.columns WHERE table_name = '{stream}'"  # noqa: S608 - ours
    found = {row["column_name"]: row["data_type"] for row in database.query(types)}
    wrong = {}
    for name, known in COLUMNS[stream].items():
        if "." in name or "[" in name:
            continue
        kind = "string" if (stream, name) in JSON_TEXT else known
        if found.get(name) not in TYPES[kind]:
            wrong[name] = found.get(name)
    assert wrong == {}


@pytest.mark.parametrize("stream", COLUMNS)
def test_every_known_column_has_a_value_in_its_table(synced: Synced, stream: str) -> None:
    database, _, _ = synced
    names = [name for name in COLUMNS[stream] if "." not in name and "[" not in name]
    counts = ", ".join(f'count("{name}") AS "{name}"' for name in names)
    [row] = database.query(f"SELECT {counts} FROM {stream}")  # noqa: S608 - names of the project
    assert {name for name, count in row.items() if not count} == EMPTY.get(stream, set())


def test_the_view_of_named_leads_has_the_custom_values_under_their_names(synced: Synced) -> None:
    database, api, changes = synced
    database.query(value_of(database.query(query(NAMED_LEADS))))
    found = {row["id"]: row for row in database.query("FROM named_leads")}
    expected = named_leads(api)
    assert found.keys() == {row["id"] for row in expected}
    assert found[changes.edited_lead]["Budget"] == "0012"
    assert {"Region", "region", "Name"}.isdisjoint(found[changes.edited_lead])
    shown = [{name: found[row["id"]][name] for name in row} for row in expected]
    assert canonical(shown) == canonical(expected)


def test_the_query_for_tables_with_every_version_returns_the_newest_version_of_each_record(synced: Synced) -> None:
    database, _, changes = synced
    before = "'Before' AS display_name, _airbyte_extracted_at - INTERVAL 1 DAY AS _airbyte_extracted_at"
    older = f"SELECT * REPLACE ({before}) FROM main.leads"  # noqa: S608 - names of the project
    # The deletion of an activity has no date_updated.
    last = f"""SELECT * REPLACE (NULL AS date_updated, now()::TIMESTAMP AS _ab_cdc_deleted_at)
        FROM main.leads WHERE id = '{changes.edited_lead}'"""  # noqa: S608 - an id of the local API
    versions = f"CREATE TEMP TABLE leads AS FROM main.leads UNION ALL {older} UNION ALL {last}"
    rows = database.query(f"{versions}; {query(NEWEST)}")
    assert sorted(row["id"] for row in rows) == sorted(set(database.ids("leads")) - {changes.edited_lead})
    assert not [row for row in rows if row["display_name"] == "Before"]


BY_MANIFEST = """
import os, sys, warnings
os.environ |= {"AIRBYTE_OFFLINE_MODE": "1", "AIRBYTE_ENABLE_UNSAFE_CODE": "true"}
warnings.simplefilter("ignore")
import airbyte, json, yaml
from airbyte.caches import DuckDBCache

config, manifest = (yaml.safe_load(open(path)) for path in sys.argv[1:3])
source = airbyte.get_source("source-close", source_manifest=manifest, config=config, streams="*")
source.check()
result = source.read(cache=DuckDBCache(db_path="by_manifest.duckdb"))
print(json.dumps({name: len(table) for name, table in result.streams.items()}))
"""


def test_pyairbyte_reads_with_the_manifest_instead_of_the_command(synced: Synced) -> None:
    database, api, _ = synced
    end = now()
    printed = database.python("-c", BY_MANIFEST, "config.json", str(PROJECT / "manifest.yaml"))
    found = json.loads(printed.splitlines()[-1])
    counts = {name: len(ids(api, name, None, end)) for name in ("leads", "tasks", "users")}
    assert {name: found[name] for name in counts} == counts
    assert found.keys() == set(STREAMS)

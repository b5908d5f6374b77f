"""`make test-postgres`: examples/postgres_sync.py and its views, run on the local API and a real Postgres server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from integration_tests.close_api import LocalCloseApi
from integration_tests.harness.moments import DAY, now
from integration_tests.harness.postgres_server import DATABASE, HOST, PASSWORD, USER, postgres
from integration_tests.harness.pyairbyte import TIME_ZONE, VOLUMES, Database, DatabaseTests, Synced, sync_twice
from integration_tests.harness.sql_truth import activities, canonical, rows_of

TWICE = "SELECT * FROM leads"


class Postgres(Database):
    """The Postgres database that the example writes to."""

    example = "postgres_sync.py"
    views = "views_postgres.sql"
    run = f"""
import psycopg2, sys
host, port, database, user = sys.argv[1:]
def run(sql):
    connection = psycopg2.connect(host=host, port=port, dbname=database, user=user)
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("SET TimeZone = '{TIME_ZONE}'")
    cursor.execute(sql)
    found = cursor.description
    return ([column[0] for column in found], cursor.fetchall()) if found else ([], [])
"""

    def __init__(self, folder: Path, api: LocalCloseApi, port: int) -> None:
        super().__init__(folder, api)
        self._port = port

    def _address(self) -> list[str]:
        return [HOST, str(self._port), DATABASE, USER]

    def _environment(self) -> dict[str, str]:
        return {**super()._environment(), "PGPASSWORD": PASSWORD}


@pytest.fixture(scope="module")
def synced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Synced]:
    """Yield a database after two syncs with changes in between; the views are created after the first sync."""
    with postgres() as port, LocalCloseApi(VOLUMES, start=now() - 300 * DAY) as api:
        database = Postgres(tmp_path_factory.mktemp("postgres"), api, port)
        yield database, api, sync_twice(database, api, TWICE)


def test_text_columns_keep_the_values_that_close_sends(synced: Synced) -> None:
    database, api, _ = synced
    phones = [{"id": one["id"], "phone": one["phone"]} for one in activities(api) if one.get("phone")]
    assert canonical(database.query("SELECT id, phone FROM activities WHERE phone IS NOT NULL")) == canonical(phones)
    dates = [{"id": one["id"], "date": one["date"]} for one in rows_of(api, "tasks")]
    assert canonical(database.query("SELECT id, date FROM tasks")) == canonical(dates)


class TestDatabase(DatabaseTests):
    marked = """INSERT INTO {table} SELECT (jsonb_populate_record(one, jsonb_build_object(
        'id', '{id}', '_ab_cdc_deleted_at', one.date_updated))).* FROM {table} AS one"""

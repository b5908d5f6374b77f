"""Bring all six streams into a local DuckDB file: run it once for everything, and again for what changed since.

pip install airbyte
pip install source_close-0.1.0-py3-none-any.whl
python duckdb_sync.py config.json close.duckdb
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path

# The connector is installed here: PyAirbyte need not look it up in Airbyte's registry, which takes a network.
os.environ.setdefault("AIRBYTE_OFFLINE_MODE", "1")
# Google's libraries, which PyAirbyte brings along, tell at every start how long they support this Python.
warnings.filterwarnings("ignore", "You are using a Python version", FutureWarning)

import airbyte  # noqa: E402 - it reads both when it is imported
from airbyte.caches import CacheBase, DuckDBCache  # noqa: E402 - as above

DELETED_AT = "_ab_cdc_deleted_at"


def sync(config: dict[str, object], cache: CacheBase, row_id: str = "rowid") -> dict[str, int]:
    """Read what is new into the database of `cache`; returns how many rows each table then has.

    PyAirbyte keeps the state in the same database and merges by the primary key. It does not know Airbyte's mark of
    deleted records, and a record that comes twice in one read is there twice, so rows of both kinds are removed here.
    `row_id` is what the database calls the place of a row.
    """
    source = airbyte.get_source("source-close", config=config, local_executable="source-close", streams="*")
    source.read(cache=cache)
    with cache.get_sql_engine().begin() as connection:
        rows = {}
        for stream in source.get_selected_streams():
            table = f"{cache.schema_name}.{stream}"
            age = "row_number() OVER (PARTITION BY id ORDER BY _airbyte_raw_id DESC)"
            rows_by_age = f"SELECT {row_id} AS place, {age} AS age FROM {table}"  # noqa: S608 - names of ours
            former = f"SELECT place FROM ({rows_by_age}) AS by_age WHERE age > 1"  # noqa: S608 - names of ours
            connection.exec_driver_sql(f"DELETE FROM {table} WHERE {row_id} IN ({former})")  # noqa: S608 - names of ours
            if DELETED_AT in source.get_stream_json_schema(stream)["properties"]:
                connection.exec_driver_sql(f"DELETE FROM {table} WHERE {DELETED_AT} IS NOT NULL")  # noqa: S608 - names of ours
            rows[stream] = connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one()  # noqa: S608 - names of ours
        return rows


def main(cache: CacheBase, row_id: str = "rowid") -> None:
    """Read the configuration that the command line names into `cache`, and print what its tables hold."""
    for table, rows in sync(json.loads(Path(sys.argv[1]).read_text()), cache, row_id).items():
        print(f"{table:<14}{rows:>10,}")


if __name__ == "__main__":
    main(DuckDBCache(db_path=Path(sys.argv[2])))

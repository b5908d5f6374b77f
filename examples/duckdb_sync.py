"""Sync all six streams to a local DuckDB file: the first run reads everything, each later run reads the changes.

pip install airbyte
pip install source_close-0.2.0-py3-none-any.whl
python duckdb_sync.py config.json close.duckdb
"""

import json
import os
import sys
import warnings
from pathlib import Path

# The connector is installed locally, so PyAirbyte does not need to look it up in Airbyte's registry on the internet.
os.environ.setdefault("AIRBYTE_OFFLINE_MODE", "1")
# PyAirbyte depends on Google's libraries, which warn at every start until when they support this Python version.
warnings.filterwarnings("ignore", "You are using a Python version", FutureWarning)

import airbyte  # noqa: E402 - the import reads both settings above
from airbyte.caches import CacheBase, DuckDBCache  # noqa: E402 - the same

DELETED_AT = "_ab_cdc_deleted_at"


def sync(config: dict[str, object], cache: CacheBase, row_id: str = "rowid") -> dict[str, int]:
    """Sync to the database of `cache`; return the number of rows of each table.

    PyAirbyte keeps the state in the same database and merges rows by the primary key. But it stores two rows if a sync
    reads a record twice, and it keeps the rows of deleted records, which have `_ab_cdc_deleted_at`. This function
    removes the older row and the rows of deleted records. `row_id` is the database's name for the identifier of a row.
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
    """Sync the account of the config in the first argument to `cache`, and print the number of rows of each table."""
    for table, rows in sync(json.loads(Path(sys.argv[1]).read_text()), cache, row_id).items():
        print(f"{table:<14}{rows:>10,}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(DuckDBCache(db_path=Path(sys.argv[2])))

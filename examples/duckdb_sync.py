"""Bring all six streams into a local DuckDB file: run it once for everything, and again for what changed since.

pip install airbyte
pip install source_close-0.1.0-py3-none-any.whl
python duckdb_sync.py config.json close.duckdb
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import airbyte
from airbyte.caches import DuckDBCache

DELETED_AT = "_ab_cdc_deleted_at"


def sync(config: dict[str, object], database: Path) -> dict[str, int]:
    """Read what is new into `database`; returns how many rows each table then has.

    PyAirbyte keeps the state in the same file and merges by the primary key. It does not know Airbyte's mark of deleted
    records, and a record that comes twice in one read is there twice, so rows of both kinds are removed here.
    """
    cache = DuckDBCache(db_path=database)
    source = airbyte.get_source("source-close", config=config, local_executable="source-close", streams="*")
    source.read(cache=cache)
    with cache.get_sql_engine().begin() as connection:
        rows = {}
        for stream in source.get_selected_streams():
            newest = f"SELECT arg_max(rowid, _airbyte_raw_id) FROM {stream} GROUP BY id"  # noqa: S608
            connection.exec_driver_sql(f"DELETE FROM {stream} WHERE rowid NOT IN ({newest})")  # noqa: S608
            if DELETED_AT in source.get_stream_json_schema(stream)["properties"]:
                connection.exec_driver_sql(f"DELETE FROM {stream} WHERE {DELETED_AT} IS NOT NULL")  # noqa: S608
            rows[stream] = connection.exec_driver_sql(f"SELECT count(*) FROM {stream}").scalar_one()  # noqa: S608
        return rows


if __name__ == "__main__":
    config_path, database_path = sys.argv[1:]
    for table, rows in sync(json.loads(Path(config_path).read_text()), Path(database_path)).items():
        print(f"{table:<14}{rows:>10,}")

"""Sync all six streams to a Postgres database: the first run reads everything, each later run reads the changes.

pip install airbyte
pip install source_close-0.2.0-py3-none-any.whl
PGPASSWORD=… python postgres_sync.py config.json localhost 5432 database user
"""

import os
import sys
from functools import partial
from urllib.parse import quote

import duckdb_sync
import pandas as pd
from airbyte.caches import PostgresCache

# PyAirbyte reads the records with pandas before it writes them to Postgres. By default, pandas converts texts to
# numbers: the phone number "+12025550160" would become "12025550160.0".
pd.read_json = partial(pd.read_json, dtype=False, convert_dates=False, precise_float=True)

if __name__ == "__main__":
    if len(sys.argv) != 6 or "PGPASSWORD" not in os.environ:
        sys.exit(__doc__)
    host, port, database, user = sys.argv[2:]
    duckdb_sync.main(
        PostgresCache(
            host=host,
            port=int(port),
            database=database,
            username=user,
            password=quote(os.environ["PGPASSWORD"], safe=""),  # PyAirbyte does not quote it in the URL
            schema_name="public",
        ),
        row_id="ctid",
    )

"""Bring all six streams into a Postgres database: run it once for everything, and again for what changed since.

pip install airbyte
pip install source_close-0.1.0-py3-none-any.whl
PGPASSWORD=… python postgres_sync.py config.json localhost 5432 database user
"""

from __future__ import annotations

import os
import sys
from functools import partial
from urllib.parse import quote

import duckdb_sync
import pandas as pd
from airbyte.caches import PostgresCache

# PyAirbyte has pandas read what goes into Postgres. Left to guess, pandas makes numbers of texts: a phone number
# "+12025550160" would become "12025550160.0".
pd.read_json = partial(pd.read_json, dtype=False, convert_dates=False, precise_float=True)

if __name__ == "__main__":
    host, port, database, user = sys.argv[2:]
    duckdb_sync.main(
        PostgresCache(
            host=host,
            port=int(port),
            database=database,
            username=user,
            password=quote(os.environ["PGPASSWORD"], safe=""),  # PyAirbyte puts it into a URL as it is
            schema_name="public",
        ),
        row_id="ctid",
    )

"""An account whose clock the test sets, and the tables that a destination fills from the connector's output."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from integration_tests.close_api import LocalCloseApi
from integration_tests.harness.forked import ForkedConnector
from integration_tests.harness.running import KEY, Result
from integration_tests.harness.truth import records

DELETED_AT = "_ab_cdc_deleted_at"
FOLLOWING = ("activities", "leads", "tasks")
Row = dict[str, Any]


class Clock:
    """A clock that only `advance` moves, for the server and maybe the connector."""

    def __init__(self, now: datetime = datetime(2025, 3, 1, 9, tzinfo=timezone.utc)) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **duration: float) -> None:
        """Move the clock forward; the arguments are those of `timedelta`."""
        self.now += timedelta(**duration)


@dataclass
class Warehouse:
    """Syncs an account and keeps tables as a destination does: the last row of an id wins, a deletion removes it."""

    api: LocalCloseApi
    clock: Clock
    folder: Path
    streams: Sequence[str] = FOLLOWING
    tables: dict[str, dict[str, Row]] = field(default_factory=dict)
    states: dict[str, dict[str, Any]] = field(default_factory=dict)

    def connector(self) -> ForkedConnector:
        """Return the connector of the account, with the clock of the server."""
        config = {"api_key": KEY, "base_url": self.api.url, "start_date": "2024-12-15", "attribution_window_hours": 0}
        return ForkedConnector(config, self.folder, now=self.clock(), faster=20)

    def sync(self, *, kill_after: int | None = None) -> Result:
        """Sync a second later; with `kill_after`, kill the sync after that many lines and keep what it printed."""
        self.api.clear_requests()
        self.clock.advance(seconds=1)
        connector = self.connector()
        connector.kill_after = kill_after
        run = connector.sync if kill_after is None else connector.read
        result = run(self.streams, list(self.states.values()))
        for record in result.of("RECORD"):
            table = self.tables.setdefault(record["stream"], {})
            row = record["data"]
            if row.get(DELETED_AT) is None:
                table[row["id"]] = row
            else:
                table.pop(row["id"], None)
        self.states |= {state["stream"]["stream_descriptor"]["name"]: state for state in result.states}
        return result

    def position(self, stream: str) -> str:
        """Return the saved position in the event log."""
        position: str = self.states[stream]["stream"]["stream_state"]["event_log_position"]
        return position

    def assert_is_current(self, ignored: Collection[str] = ()) -> None:
        """Assert that the tables have the server's records with their current values; `ignored` ids may differ."""
        for stream in FOLLOWING:
            table = {one: row for one, row in self.tables.get(stream, {}).items() if one not in ignored}
            with self.api.store.lock:
                self.api.store.advance()
                truth = {one.id: one.data() for one in records(self.api, stream) if one.id not in ignored}
            assert table.keys() == truth.keys(), f"{stream}: rows that should be deleted, or missing rows"
            for record_id, record in truth.items():
                # Messages leave out the top-level fields of a record that are null, and leads have no `custom`.
                fields = record.keys() - {"custom"}
                row = {name: table[record_id].get(name) for name in fields}
                assert row == {name: record[name] for name in fields}, f"{stream}: {record_id} is out of date"

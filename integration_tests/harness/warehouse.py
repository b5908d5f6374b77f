"""An account whose clock the test sets, and the tables that a destination fills from the connector's output."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from integration_tests.close_api import LocalCloseApi
from integration_tests.harness.forked import ForkedConnector, Sizes
from integration_tests.harness.running import KEY, Result

DELETED_AT = "_ab_cdc_deleted_at"
FOLLOWING = ("activities", "leads", "tasks")
COLLECTIONS = {"activities": "activity", "tasks": "task"}
Row = dict[str, Any]


class Clock:
    """A clock that only `advance` moves, for the server and maybe the connector."""

    def __init__(self, now: datetime = datetime(2025, 3, 1, 9, tzinfo=timezone.utc)) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **duration: float) -> datetime:
        """Move the clock forward; the arguments are those of `timedelta`."""
        self.now += timedelta(**duration)
        return self.now


@dataclass
class Warehouse:
    """Syncs an account and keeps tables as a destination does: the last row of an id wins, a deletion removes it."""

    api: LocalCloseApi
    clock: Clock
    folder: Path
    config: dict[str, Any] = field(default_factory=dict)
    streams: Sequence[str] = FOLLOWING
    sizes: Sizes = field(default_factory=dict)
    retry_seconds: float | None = None
    tables: dict[str, dict[str, Row]] = field(default_factory=dict)
    states: dict[str, dict[str, Any]] = field(default_factory=dict)

    def connector(self) -> ForkedConnector:
        """Return the connector of the account, with the clock of the server."""
        return ForkedConnector(
            {"api_key": KEY, "base_url": self.api.url, "start_date": "2024-12-15", **self.config},
            self.folder,
            now=self.clock(),
            sizes=self.sizes,
            retry_seconds=self.retry_seconds,
            faster=20,
        )

    def sync(
        self, streams: Sequence[str] | None = None, *, kill_after: int | None = None, complete: bool = True
    ) -> Result:
        """Sync a second later; with `kill_after`, kill the sync after that many lines and keep what it printed."""
        self.api.clear_requests()
        self.clock.advance(seconds=1)
        streams = streams or self.streams
        states = list(self.states.values())
        connector = self.connector()
        connector.kill_after = kill_after
        run = connector.sync if complete and kill_after is None else connector.read
        result = run(streams, states)
        for record in result.of("RECORD"):
            self._take(self.tables.setdefault(record["stream"], {}), record["data"])
        self.states |= {state["stream"]["stream_descriptor"]["name"]: state for state in result.states}
        return result

    @staticmethod
    def _take(table: dict[str, Row], row: Row) -> None:
        if row.get(DELETED_AT) is not None:
            with suppress(KeyError):
                del table[row["id"]]
        else:
            table[row["id"]] = row

    def position(self, stream: str) -> str:
        """Return the saved position in the event log."""
        position: str = self.states[stream]["stream"]["stream_state"]["event_log_position"]
        return position

    def event_pages(self) -> int:
        """Return how many requests for events the last sync has sent."""
        return sum(entry.path.startswith("/event/") for entry in self.api.requests)

    def refetches(self, path: str = "/") -> list[list[str]]:
        """Return the ids in each request of the last sync that fetches records by id."""
        return [
            entry.query["id__in"].split(",")
            for entry in self.api.requests
            if "id__in" in entry.query and entry.path.startswith(path)
        ]

    def assert_is_current(self, *streams: str, ignored: set[str] | None = None) -> None:
        """Assert that the tables have the server's records with their current values; `ignored` ids may differ."""
        for stream in streams or FOLLOWING:
            table, truth = self.tables.get(stream, {}), self._truth(stream)
            ignored_ids = ignored or set()
            extra = {record_id: table[record_id] for record_id in table.keys() - truth.keys() - ignored_ids}
            missing = {record_id: truth[record_id] for record_id in truth.keys() - table.keys() - ignored_ids}
            assert (extra, missing) == ({}, {}), f"{stream}: rows that should be deleted, and missing rows"
            for record_id in truth.keys() - ignored_ids:
                # Messages leave out the top-level fields of a record that are null.
                row = {name: table[record_id].get(name) for name in truth[record_id]}
                assert row == truth[record_id], f"{stream}: {record_id} is out of date"

    def _truth(self, stream: str) -> dict[str, Row]:
        store = self.api.store
        with store.lock:
            store.advance()
            if stream == "leads":
                records = [one for one in store.objects.values() if one.kind == "lead"]
            else:
                records = list(store.collections[COLLECTIONS[stream]].records.values())
            return {one.id: {name: value for name, value in one.data().items() if name != "custom"} for one in records}

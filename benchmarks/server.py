"""Run the local Close API in a separate process."""

import os
import subprocess
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from multiprocessing import get_context
from multiprocessing.managers import BaseManager
from pathlib import Path
from types import TracebackType
from typing import Any

from typing_extensions import Self

from integration_tests.close_api import LocalCloseApi, Settings, Volumes
from integration_tests.harness.truth import ids

API_KEY = Settings.api_key
STREAMS = ("activities", "custom_fields", "event_log", "leads", "tasks", "users")
_PERIOD = timedelta(days=365)


@dataclass(frozen=True)
class Sizes(Volumes):
    """The amount of data that the server generates; `custom_fields` is the number in each of the six lists."""

    activities: int = 60_000
    leads: int = 5_000
    tasks: int = 8_000
    events: int = 20_000
    users: int = 40
    custom_fields: int = 20


class _RunningApi:
    """The local API, in its own process; the benchmark calls these methods from another process."""

    def __init__(self, sizes: Sizes, start: datetime, end: datetime) -> None:
        self._api = LocalCloseApi(sizes, start=start, end=end)
        self._api.start()

    def url(self) -> str:
        return self._api.url

    def pid(self) -> int:
        return os.getpid()

    def change(self, settings: dict[str, Any]) -> None:
        for name, value in settings.items():
            setattr(self._api.settings, name, value)

    def take_requests(self) -> dict[str, Any]:
        entries = list(self._api.requests)
        self._api.clear_requests()
        statuses = Counter((entry.path, str(entry.status)) for entry in entries)
        by_path: dict[str, dict[str, int]] = {}
        for (path, status), number in statuses.items():
            by_path.setdefault(path, {})[status] = number
        by_status = dict(Counter(str(entry.status) for entry in entries))
        return {"total": len(entries), "by_status": by_status, "by_path": by_path}

    def ids(self, stream: str, start: datetime | None, end: datetime | None) -> set[str]:
        return ids(self._api, stream, start, end)


class _Manager(BaseManager):
    """Starts the process."""


_Manager.register("RunningApi", _RunningApi)


class Server:
    """A context manager that starts the server with its data, queries it and stops it."""

    def __init__(self, sizes: Sizes) -> None:
        """Prepare the server; the same sizes give the same data, except for its dates."""
        self._sizes = sizes
        self._now = datetime.now(timezone.utc).replace(microsecond=0)
        # All records are later than the start date, so a complete read returns all of them.
        self.start_date = (self._now - _PERIOD - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._manager = _Manager(ctx=get_context("spawn"))
        self.url = ""

    def __enter__(self) -> Self:
        """Start the server, and return when its data is ready."""
        self._manager.start()
        self._api = self._manager.RunningApi(self._sizes, self._now - _PERIOD, self._now)
        self._pid = self._api.pid()
        self.url = self._api.url()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._manager.shutdown()

    def change(self, **settings: Any) -> None:
        """Change switches of the server."""
        self._api.change(settings)

    def take_requests(self) -> dict[str, Any]:
        """Return the counts of the requests since the last call."""
        counts: dict[str, Any] = self._api.take_requests()
        return counts

    def ids(self, stream: str, until: datetime) -> set[str]:
        """Return the ids of all records of a stream that a read which began at `until` must return.

        They do not include meetings that start after `until`, because their `date_created` is their start. Nor do they
        include events that are 30 days old when the read begins, which the server keeps for up to a minute longer.
        """
        start = until + timedelta(minutes=1) - timedelta(days=30) if stream == "event_log" else None
        end = until if stream == "activities" else None
        found: set[str] = self._api.ids(stream, start, end)
        return found

    def cpu_seconds(self) -> float:
        """Return the CPU seconds that the server has used so far."""
        stat = Path(f"/proc/{self._pid}/stat")
        if stat.exists():
            fields = stat.read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        command = ["ps", "-o", "time=", "-p", str(self._pid)]
        printed = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
        seconds = 0.0
        for part in printed.stdout.strip().replace("-", ":").split(":"):
            seconds = seconds * 60 + float(part)
        return seconds

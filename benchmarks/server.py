"""Run the local Close API as a separate process."""

import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import TracebackType
from typing import Any

import requests
from typing_extensions import Self

from .paths import ROOT
from .processes import environment, stop

API_KEY = "api_local"
STREAMS = ("activities", "custom_fields", "event_log", "leads", "tasks", "users")
_PERIOD = timedelta(days=365)
_TIMEOUT = 60


@dataclass(frozen=True)
class Sizes:
    """The amount of data that the server generates; `custom_fields` is the number in each of the six lists."""

    activities: int = 60_000
    leads: int = 5_000
    tasks: int = 8_000
    events: int = 20_000
    users: int = 40
    custom_fields: int = 20


class Server:
    """A context manager that starts the server with its data, queries it and stops it."""

    def __init__(self, sizes: Sizes) -> None:
        """Prepare the command; the same sizes give the same data, except for its dates."""
        now = datetime.now(timezone.utc).replace(microsecond=0)
        # All records are later than the start date, so a complete read returns all of them.
        self.start_date = (now - _PERIOD - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._command = [sys.executable, "-m", "integration_tests.close_api"]
        self._command += ["--start", (now - _PERIOD).isoformat(), "--end", now.isoformat(), "--api-key", API_KEY]
        for name, number in vars(sizes).items():
            self._command += [f"--{name.replace('_', '-')}", str(number)]
        self._session = requests.Session()
        self._session.trust_env = False
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def __enter__(self) -> Self:
        """Start the server, and return when its data is ready."""
        self._process = subprocess.Popen(
            self._command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL
        )
        assert self._process.stdout is not None  # noqa: S101 - stdout is a pipe
        self.url = self._process.stdout.readline().strip()
        if not self.url:
            stop("the local Close API did not start.")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.close()
        if self._process is not None:
            self._process.terminate()
            self._process.communicate()

    def set_latency(self, seconds: float) -> None:
        """Delay each response from now on."""
        self.change(latency=seconds)

    def change(self, **settings: Any) -> None:
        """Change switches of the server."""
        self._control("POST", "settings", json=settings)

    def take_requests(self) -> dict[str, Any]:
        """Return the counts of the requests since the last call."""
        counts: dict[str, Any] = self._control("DELETE", "requests")
        return counts

    def ids(self, stream: str, until: datetime) -> set[str]:
        """Return the ids of all records of a stream that a read which began at `until` must return.

        They do not include email threads, which only group emails that are activities themselves, and meetings that
        start after `until`, because their `date_created` is their start. Nor do they include events that are 30 days
        old when the read begins, which the server keeps for up to a minute longer.
        """
        found = set(self._control("GET", "ids", params={"stream": stream})["ids"])
        if stream == "activities":
            found -= self._listed("activity/emailthread/?")
            found -= self._listed(f"activity/?date_created__gte={until.strftime('%Y-%m-%dT%H:%M:%S.%fZ')}&")
        if stream == "event_log":
            oldest = until + timedelta(minutes=1) - timedelta(days=30)
            found -= self._listed(f"event/?date_updated__lt={oldest.strftime('%Y-%m-%dT%H:%M:%S.%fZ')}&")
        return found

    def _listed(self, path: str) -> set[str]:
        found, has_more = set[str](), True
        while has_more:
            url = f"{self.url}/{path}_fields=id&_limit=100&_skip={len(found)}"
            page = self._session.get(url, auth=(API_KEY, ""), timeout=_TIMEOUT)
            page.raise_for_status()
            body = page.json()
            found.update(row["id"] for row in body["data"])
            has_more = body.get("has_more") and bool(body["data"])  # the few oldest events are one page
        return found

    def cpu_seconds(self) -> float:
        """Return the CPU seconds that the server, which has one thread, has used so far."""
        pid = self._process.pid if self._process else 0
        stat = Path(f"/proc/{pid}/stat")
        if stat.exists():
            fields = stat.read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        printed = subprocess.run(["ps", "-o", "time=", "-p", str(pid)], stdout=subprocess.PIPE, check=True, text=True)  # noqa: S607
        seconds = 0.0
        for part in printed.stdout.strip().replace("-", ":").split(":"):
            seconds = seconds * 60 + float(part)
        return seconds

    def _control(self, method: str, path: str, **given: Any) -> Any:
        url = f"{self.url.removesuffix('/api/v1')}/control/{path}"
        response = self._session.request(method, url, timeout=_TIMEOUT, **given)
        response.raise_for_status()
        return response.json()

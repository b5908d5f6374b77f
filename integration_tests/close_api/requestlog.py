"""The log of the requests to the server."""

from dataclasses import dataclass
from threading import Lock
from typing import Any


@dataclass
class RequestEntry:
    """One request.

    `path` is the part after `/api/v1`. `query` contains the parameters of the URL and of `_params`. `status` is 0 until
    the server has a response, and stays 0 if the server breaks the connection instead. `started` is monotonic time in
    seconds. `in_flight` counts the requests in flight at the start, including this request.
    """

    method: str
    path: str
    query: dict[str, str]
    json: Any
    headers: dict[str, str]
    started: float
    in_flight: int
    status: int = 0


class RequestLog:
    """The requests in the order of arrival."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.entries: list[RequestEntry] = []
        self.in_flight = 0

    def clear(self) -> None:
        """Remove all entries."""
        with self._lock:
            self.entries.clear()

    def append(self, entry: RequestEntry) -> int:
        """Add an entry; return its number since the last `clear`, which starts at 1."""
        with self._lock:
            self.entries.append(entry)
            return len(self.entries)

    def summary(self) -> dict[str, Any]:
        """Return the counts by path and by status, and the highest number of requests in flight."""
        by_path: dict[str, dict[str, int]] = {}
        by_status: dict[str, int] = {}
        with self._lock:
            entries = list(self.entries)
        for entry in entries:
            statuses = by_path.setdefault(entry.path, {})
            statuses[str(entry.status)] = statuses.get(str(entry.status), 0) + 1
            by_status[str(entry.status)] = by_status.get(str(entry.status), 0) + 1
        return {
            "total": len(entries),
            "by_status": by_status,
            "by_path": by_path,
            "max_in_flight": max((entry.in_flight for entry in entries), default=0),
        }

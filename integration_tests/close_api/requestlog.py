"""What was asked of the server."""

from dataclasses import dataclass
from threading import Lock
from typing import Any


@dataclass
class RequestEntry:
    """One request: `path` begins after `/api/v1`, `query` has the effective parameters, those of `_params` included.

    `status` is 0 until the answer is decided and stays 0 when the connection is cut instead. `started` is
    monotonic time in seconds. `in_flight` counts the requests being answered at the start, this one included.
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
    """Entries in the order of arrival."""

    def __init__(self) -> None:
        """Start empty."""
        self._lock = Lock()
        self.entries: list[RequestEntry] = []
        self.in_flight = 0

    def clear(self) -> None:
        """Forget all entries."""
        with self._lock:
            self.entries.clear()

    def append(self, entry: RequestEntry) -> int:
        """Add an entry; returns its number since the last `clear`, from 1."""
        with self._lock:
            self.entries.append(entry)
            return len(self.entries)

    def summary(self) -> dict[str, Any]:
        """Counts by path and by status, and the most requests in flight at once."""
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

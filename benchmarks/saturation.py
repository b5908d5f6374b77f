"""Measure how fast the server is when plain loops fetch its pages and discard them."""

import base64
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from http.client import HTTPConnection
from urllib.parse import urlencode, urlsplit

from .processes import stop
from .server import API_KEY, Server, Sizes

_CONNECTIONS = 4
_MEGABYTE = 1e6
_EVENT_DAYS = 30
_OK = 200


@dataclass(frozen=True)
class ServerAlone:
    """The speed of the server without a connector."""

    connections: int
    requests: int
    megabytes_per_second: float
    server_cpu_seconds: float
    wall_seconds: float


def measure_server(server: Server, sizes: Sizes) -> ServerAlone:
    """Fetch every page of activities, leads, tasks and events over a few persistent connections."""
    paths = list(_paths(sizes))
    cpu = server.cpu_seconds()
    began = time.perf_counter()
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        shares = [paths[number::_CONNECTIONS] for number in range(_CONNECTIONS)]
        size = sum(pool.map(lambda share: _fetch(server.url, share), shares))
    wall = time.perf_counter() - began
    used = server.cpu_seconds() - cpu
    server.take_requests()
    return ServerAlone(_CONNECTIONS, len(paths), size / _MEGABYTE / wall, used, wall)


def _paths(sizes: Sizes) -> Iterator[str]:
    for path, rows in (("/activity/", sizes.activities), ("/lead/", sizes.leads), ("/task/", sizes.tasks)):
        for skip in range(0, rows, 100):
            yield f"{path}?{urlencode({'_limit': 100, '_skip': skip})}"
    # The event log has no offsets, so the loops read as many windows as it has pages.
    pages = sizes.events // 50
    end = datetime.now(timezone.utc)
    window = timedelta(days=_EVENT_DAYS) / max(pages, 1)
    for number in range(pages):
        bounds = {"gte": end - window * (number + 1), "lt": end - window * number}
        params = {f"date_updated__{name}": moment.isoformat() for name, moment in bounds.items()}
        yield f"/event/?{urlencode({'_limit': 50, **params})}"


def _fetch(url: str, paths: list[str]) -> int:
    """Fetch pages over one connection, and return the number of bytes received."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port)
    headers = {"Authorization": f"Basic {base64.b64encode(f'{API_KEY}:'.encode()).decode()}"}
    received = 0
    for path in paths:
        connection.request("GET", parts.path + path, headers=headers)
        response = connection.getresponse()
        received += len(response.read())
        if response.status != _OK:
            stop(f"the local Close API responded to GET {path} with {response.status}.")
    connection.close()
    return received

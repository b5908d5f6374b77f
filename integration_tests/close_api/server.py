"""The server, which runs in threads."""

import socket
import struct
import sys
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from typing_extensions import Self

from .errors import Response, plain
from .faults import FaultPlan
from .gate import Gate
from .populate import Volumes, populate
from .request import Request
from .settings import Settings
from .store import Store

PREFIX = "/api/v1"
_HOST = "127.0.0.1"
_DEFAULT_PERIOD = timedelta(days=365)


class _Server(ThreadingHTTPServer):
    """The HTTP server, with a thread for each connection."""

    request_queue_size = 128

    def __init__(self, port: int, gate: Gate) -> None:
        super().__init__((_HOST, port), _Handler)
        self.gate = gate

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing about a client that was killed."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """Reads the requests of one connection, and sends or breaks the responses."""

    server: _Server
    protocol_version = "HTTP/1.1"
    # A response is sent at once, which without these two would take 40 ms.
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        path, _, query = self.path.partition("?")
        if not path.startswith(f"{PREFIX}/"):
            self._send(plain(404, "Not found.").response)
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request.of(self.command, path.removeprefix(PREFIX), query, headers, raw)
        response, fault = self.server.gate.serve(request)
        if fault.kind in {"hang", "reset", "close_mid_body"}:
            self.close_connection = True
        if fault.kind == "reset":
            # A linger time of zero makes the kernel send RST instead of FIN.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            socket.close(self.connection.detach())
        if response is not None:
            self._send(response, len(response.body) // 2 if fault.kind == "close_mid_body" else None)

    do_POST = do_GET  # noqa: N815 - the names are Python's

    def _send(self, response: Response, sent: int | None = None) -> None:
        """Send a response, or its first bytes only."""
        self.send_response_only(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(response.body)))
        self.end_headers()
        self.wfile.write(response.body[:sent])

    def log_message(self, *words: object) -> None:
        """Write no log."""


class LocalCloseApi:
    """A context manager that serves the local Close API on a port of the loopback interface.

    `url` is the base URL, such as `http://127.0.0.1:40123/api/v1`. `store`, `settings` and `faults` may be changed
    while the server runs. `requests` contains the requests since the start or the last `clear_requests`.
    """

    def __init__(
        self,
        volumes: Volumes | None = None,
        *,
        settings: Settings | None = None,
        seed: int = 1,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> None:
        """Create the data with creation dates in [start, end), by default the last year."""
        self.settings = settings or Settings()
        self.store = Store(self.settings, seed)
        self.faults = FaultPlan(seed)
        end = end or self.settings.now()
        populate(self.store, volumes or Volumes(), start or end - _DEFAULT_PERIOD, end)
        self._gate = Gate(self.store, self.faults)
        self.requests = self._gate.log
        self._server: _Server | None = None

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://{_HOST}:{self._server.server_port}{PREFIX}"

    def clear_requests(self) -> None:
        self.requests.clear()

    def start(self) -> None:
        self._server = _Server(0, self._gate)
        Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Accept no more connections; requests in flight are not waited for."""
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()

"""The server, which runs in a thread."""

import asyncio
import socket
import time
from datetime import datetime, timedelta
from threading import Thread
from types import TracebackType
from typing import TypeVar

import uvicorn
from typing_extensions import Self

from .app import make_app
from .faults import FaultPlan
from .gate import PREFIX
from .populate import Volumes, populate
from .protocol import BreakableProtocol
from .requestlog import RequestEntry, RequestLog
from .settings import Settings
from .store import Store

Api = TypeVar("Api", bound="LocalCloseApi")

_HOST = "127.0.0.1"
_START_SECONDS = 10.0
_TICK_SECONDS = 0.01
_DEFAULT_PERIOD = timedelta(days=365)


def _listening_socket(port: int) -> socket.socket:
    # asyncio disables Nagle's algorithm only for sockets that name their protocol. With the algorithm, each small
    # response would take 40 ms.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((_HOST, port))
    return listening


class _PromptServer(uvicorn.Server):
    """A server that stops within milliseconds and does not wait for requests in flight."""

    async def main_loop(self) -> None:
        counter = 0
        while not await self.on_tick(counter):
            counter += 1
            await asyncio.sleep(_TICK_SECONDS)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for listening in sockets or []:
            listening.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        # One event loop turn lets the connections notice the abort. The requests that are cancelled next are then known
        # to be disconnected.
        await asyncio.sleep(0)


class LocalCloseApi:
    """A context manager that serves the local Close API on a port of the loopback interface.

    `url` is the base URL, such as `http://127.0.0.1:40123/api/v1`. `store`, `settings` and `faults` may be changed
    while the server runs. `requests` contains the requests so far.
    """

    def __init__(
        self,
        volumes: Volumes | None = None,
        *,
        settings: Settings | None = None,
        seed: int = 1,
        start: datetime | None = None,
        end: datetime | None = None,
        port: int = 0,
    ) -> None:
        """Create the data with creation dates in [start, end), by default the last year; port 0 chooses a free port."""
        self.settings = settings or Settings()
        self.store = Store(self.settings, seed)
        self.faults = FaultPlan(seed)
        self._log = RequestLog()
        end = end or self.settings.now()
        populate(self.store, volumes or Volumes(), start or end - _DEFAULT_PERIOD, end)
        self._port = port
        self._server: uvicorn.Server | None = None
        self._thread: Thread | None = None

    @property
    def requests(self) -> list[RequestEntry]:
        """Return the requests since the start or the last `clear_requests`, in the order of arrival."""
        return self._log.entries

    @property
    def url(self) -> str:
        """Return the base URL, without a slash at its end."""
        return f"http://{_HOST}:{self._port}{PREFIX}"

    def clear_requests(self) -> None:
        """Remove the requests so far."""
        self._log.clear()

    def start(self) -> None:
        """Serve until `stop` is called."""
        listening = _listening_socket(self._port)
        self._port = listening.getsockname()[1]
        config = uvicorn.Config(
            make_app(self.store, self.faults, self._log),
            http=BreakableProtocol,
            loop="asyncio",
            lifespan="off",
            log_level="error",
            access_log=False,
            date_header=False,
            timeout_keep_alive=60,
        )
        self._server = _PromptServer(config)
        self._thread = Thread(target=self._server.run, kwargs={"sockets": [listening]}, daemon=True)
        self._thread.start()
        deadline = time.monotonic() + _START_SECONDS
        while not self._server.started:
            if time.monotonic() > deadline or not self._thread.is_alive():
                message = "The local Close API did not start."
                raise RuntimeError(message)
            time.sleep(0.005)

    def stop(self) -> None:
        """Stop the server; requests in flight are dropped."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

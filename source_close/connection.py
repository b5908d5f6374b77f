"""HTTP connections on which an answer may take so long and no longer, however it trickles in."""

from __future__ import annotations

import http.client
import io
import logging
import socket
import time
from collections.abc import Callable
from typing import Any, ClassVar

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

LOGGER = logging.getLogger("airbyte.source-close")

ANSWER_SECONDS = 120.0
_LOG_EVERY_SECONDS = 30.0


class _TimedStream(io.RawIOBase):
    """What a socket receives, until the time for the answer is over."""

    def __init__(self, received: io.RawIOBase, seconds: float, now: Callable[[], float]) -> None:
        self._received = received
        self._now = now
        self._seconds = seconds
        self._began = self._logged = now()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        now = self._now()
        if now - self._began > self._seconds:
            raise TimeoutError(f"the answer was not complete after {self._seconds:.0f} s")
        if now - self._logged > _LOG_EVERY_SECONDS:
            self._logged = now
            LOGGER.info("An answer of Close has been coming in for %.0f s.", now - self._began)
        return self._received.readinto(buffer)

    def close(self) -> None:
        self._received.close()
        super().close()


class TimedResponse(http.client.HTTPResponse):
    """An answer with a time limit on the whole of it; the built-in one is on each piece that the socket receives."""

    seconds: ClassVar[float] = ANSWER_SECONDS

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        """Take the place of the reader that the standard library makes."""
        super().__init__(sock, *args, **options)
        received = self.fp.detach()
        self.fp = io.BufferedReader(_TimedStream(received, self.seconds, time.monotonic))


class _TimedHTTPConnection(HTTPConnection):
    response_class = TimedResponse


class _TimedHTTPSConnection(HTTPSConnection):
    response_class = TimedResponse


class _TimedHTTPPool(HTTPConnectionPool):
    ConnectionCls = _TimedHTTPConnection


class _TimedHTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _TimedHTTPSConnection


_POOLS = {"http": _TimedHTTPPool, "https": _TimedHTTPSPool}


class TimedAdapter(HTTPAdapter):
    """Connects with a time limit on whole answers, also through a proxy."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Have timed connections in the pool."""
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
        """Have timed connections in a proxy's pool; one that speaks SOCKS brings connections of its own."""
        manager = super().proxy_manager_for(*args, **options)
        if manager.proxy is not None:
            manager.pool_classes_by_scheme = _POOLS
        return manager

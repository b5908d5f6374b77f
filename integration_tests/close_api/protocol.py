"""Access to the connection of a request, to break it in ways that HTTP does not offer."""

import asyncio
import socket
import struct
from typing import cast

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

_EXTENSION = "connection"


class BreakableProtocol(H11Protocol):
    """An HTTP protocol that passes its transport to the application in the extensions of the scope."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wrap the application for this connection."""
        super().connection_made(transport)
        inner = self.app

        async def with_transport(scope: Scope, receive: Receive, send: Send) -> None:
            scope["extensions"] = {**scope.get("extensions", {}), _EXTENSION: {"transport": transport}}
            await inner(scope, receive, send)

        self.app = with_transport


def _transport(scope: Scope) -> asyncio.Transport:
    return cast("asyncio.Transport", scope["extensions"][_EXTENSION]["transport"])


async def reset(scope: Scope) -> None:
    """Abort the connection so that the client sees a reset."""
    transport = _transport(scope)
    # A linger time of zero makes the kernel send RST instead of FIN.
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    await _until_lost()


async def close(scope: Scope) -> None:
    """Close the connection after the data that was written so far."""
    _transport(scope).close()
    await _until_lost()


async def _until_lost() -> None:
    # uvicorn notices the lost connection a few event loop turns later. Until then it would log an unfinished response.
    for _ in range(3):
        await asyncio.sleep(0.005)

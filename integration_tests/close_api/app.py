"""The ASGI application: the API below `/api/v1` and the control endpoints below `/control/`."""

import re

from starlette.types import ASGIApp, Receive, Scope, Send

from .control import Control
from .errors import plain
from .faults import FaultPlan
from .gate import PREFIX, Gate
from .requestlog import RequestLog
from .store import Store

_SLASHES = re.compile("/{2,}")
_LOOPBACK = {"127.0.0.1", "::1"}


def make_app(store: Store, faults: FaultPlan, log: RequestLog) -> ASGIApp:
    """Return the application of one server."""
    gate = Gate(store, faults, log)
    control = Control(store, log).app()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        # Close accepts several slashes for one: connectors have sent them for years.
        path = _SLASHES.sub("/", scope["path"])
        scope = {**scope, "path": path}
        if path.startswith(f"{PREFIX}/"):
            await gate(scope, receive, send)
        elif path.startswith("/control/") and (scope.get("client") or [None])[0] in _LOOPBACK:
            await control(scope, receive, send)
        else:
            await plain(404, "Not found.").response()(scope, receive, send)

    return app

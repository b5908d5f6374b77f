"""The endpoints below `/control/`, with which another process on the same machine controls the server."""

from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .errors import json_response
from .faults import Fault, FaultPlan
from .random_changes import change_something
from .requestlog import RequestLog
from .store import Store
from .times import parse

_COLLECTIONS = {"activities": ("activity", "activity/emailthread"), "tasks": ("task",), "users": ("user",)}


class Control:
    """The control endpoints of one server."""

    def __init__(self, store: Store, faults: FaultPlan, log: RequestLog) -> None:
        self._store = store
        self._faults = faults
        self._log = log

    def app(self) -> Starlette:
        """Return the ASGI application."""
        return Starlette(
            routes=[
                Route("/control/ids", self.ids, methods=["GET"]),
                Route("/control/settings", self.change_settings, methods=["POST"]),
                Route("/control/requests", self.requests, methods=["GET", "DELETE"]),
                Route("/control/change", self.change, methods=["POST"]),
            ]
        )

    async def ids(self, request: Request) -> Response:
        """`{"ids": […]}` of everything in `stream`; event_log takes `since` (inclusive, on date_updated)."""
        stream = request.query_params.get("stream", "")
        since = request.query_params.get("since")
        with self._store.lock:
            self._store.advance()
            return json_response({"ids": self._ids(stream, None if since is None else parse(since))})

    def _ids(self, stream: str, since: int | None) -> list[str]:
        store = self._store
        if stream == "event_log":
            oldest = max(since or 0, store.events.oldest_kept(store.now()))
            return [one.id for one in store.events.visible.records.values() if one.updated >= oldest]
        if stream == "leads":
            return list(store.leads.visible.records)
        names = _COLLECTIONS.get(stream, ())
        if stream == "custom_fields":
            names = tuple(name for name in store.collections if name.startswith("custom_field/"))
        return [object_id for name in names for object_id in store.collections[name].records]

    async def change_settings(self, request: Request) -> Response:
        """Set switches; the rules in `faults` replace the fault rules in force. A bad value changes nothing."""
        try:
            changes = await request.json()
            faults = _faults(changes)
            self._store.settings.change(changes)
        except (TypeError, ValueError) as error:
            return json_response({"error": str(error)}, 400)
        if faults is not None:
            self._faults.clear()
            self._faults.add(*faults)
        return json_response({})

    async def requests(self, request: Request) -> Response:
        """Return the counts of the requests since the start or since the last DELETE."""
        summary = self._log.summary()
        if request.method == "DELETE":
            self._log.clear()
        return json_response(summary)

    async def change(self, request: Request) -> Response:
        """Make `count` (default 10) random changes; return the changed ids by the kind of change."""
        count = int(request.query_params.get("count", "10"))
        return json_response(change_something(self._store, count))


def _faults(changes: Any) -> list[Fault] | None:
    """Remove `faults` from the body of a request and return its rules, or None if it has none."""
    if not isinstance(changes, dict):
        raise TypeError("The settings are not a JSON object.")
    rules = changes.pop("faults", None)
    if rules is None:
        return None
    return [Fault(**rule) for rule in rules]

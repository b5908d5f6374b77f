"""The endpoints below `/control/`, with which another process on the same machine controls the server."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .errors import json_response
from .requestlog import RequestLog
from .settings import RateLimit
from .store import Store

_COLLECTIONS = {"activities": ("activity", "activity/emailthread"), "tasks": ("task",), "users": ("user",)}


class Control:
    """The control endpoints of one server."""

    def __init__(self, store: Store, log: RequestLog) -> None:
        self._store = store
        self._log = log

    def app(self) -> Starlette:
        """Return the ASGI application."""
        return Starlette(
            routes=[
                Route("/control/ids", self.ids, methods=["GET"]),
                Route("/control/settings", self.change_settings, methods=["POST"]),
                Route("/control/requests", self.requests, methods=["GET", "DELETE"]),
            ]
        )

    async def ids(self, request: Request) -> Response:
        """`{"ids": […]}` of everything in `stream`."""
        with self._store.lock:
            self._store.advance()
            return json_response({"ids": self._ids(request.query_params.get("stream", ""))})

    def _ids(self, stream: str) -> list[str]:
        store = self._store
        if stream == "event_log":
            oldest = store.events.oldest_kept(store.now())
            return [one.id for one in store.events.visible.records.values() if one.updated >= oldest]
        if stream == "leads":
            return list(store.leads.visible.records)
        names = _COLLECTIONS.get(stream, ())
        if stream == "custom_fields":
            names = tuple(name for name in store.collections if name.startswith("custom_field/"))
        return [object_id for name in names for object_id in store.collections[name].records]

    async def change_settings(self, request: Request) -> Response:
        """Set switches. A `rate_limit` is a pair or null; `max_limit` keeps what it does not name."""
        settings = self._store.settings
        changes = await request.json()
        unknown = changes.keys() - vars(settings).keys()
        if unknown:
            return json_response({"error": f"There are no such switches: {sorted(unknown)}"}, 400)
        limit = changes.get("rate_limit")
        if limit is not None:
            changes["rate_limit"] = RateLimit(*limit)
        changes["max_limit"] = settings.max_limit | changes.get("max_limit", {})
        for name, value in changes.items():
            setattr(settings, name, value)
        return json_response({})

    async def requests(self, request: Request) -> Response:
        """Return the counts of the requests since the start or since the last DELETE."""
        summary = self._log.summary()
        if request.method == "DELETE":
            self._log.clear()
        return json_response(summary)

"""The path of a request through the server: log, faults, latency, access, rate limits, response."""

import asyncio
import base64
import time
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from . import protocol
from .call import Call
from .errors import ApiError, json_response, plain
from .faults import Fault, FaultPlan
from .ratelimit import RateLimiter, Standing, too_many_requests
from .requestlog import RequestEntry, RequestLog
from .routes import Routes
from .settings import RateLimit
from .store import Store

PREFIX = "/api/v1"
_OVERRIDE = "x-http-method-override"
_FORBIDDEN_TEXTS = {402: "Payment required", 403: "Forbidden"}


class Gate:
    """The ASGI application below `/api/v1`."""

    def __init__(self, store: Store, faults: FaultPlan, log: RequestLog) -> None:
        self._store = store
        self._faults = faults
        self._log = log
        self._limiter = RateLimiter(store.settings)
        self._routes = Routes()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to one request."""
        self._log.in_flight += 1
        try:
            await self._serve(scope, receive, send)
        except (asyncio.CancelledError, ClientDisconnect):
            # The server stops or the client was killed: no client waits for this response.
            return
        finally:
            self._log.in_flight -= 1

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        asked = _Asked(request, await request.body())
        entry = RequestEntry(
            asked.http_method,
            asked.path,
            asked.query,
            asked.body,
            asked.headers,
            time.monotonic(),
            self._log.in_flight,
        )
        self._store.request_started(self._log.append(entry))
        fault = self._faults.next(asked.path, asked.query)
        if fault is not None and fault.kind in {"hang", "slow"}:
            await asyncio.sleep(fault.seconds)
        if fault is not None and fault.kind in {"hang", "reset"}:
            await protocol.reset(scope) if fault.kind == "reset" else await protocol.close(scope)
            return
        if self._store.settings.latency > 0:
            await asyncio.sleep(self._store.settings.latency)
        response = self._fault_response(fault) or self._stalled(fault, asked) or self._answer(asked)
        if fault is not None:
            response = _damaged(response, fault)
        response.headers.setdefault("date", formatdate(self._store.settings.now().timestamp(), usegmt=True))
        entry.status = response.status_code
        if fault is not None and fault.kind == "close_mid_body":
            await _send_half(response, send)
            await protocol.close(scope)
            return
        await response(scope, receive, send)

    def _fault_response(self, fault: Fault | None) -> Response | None:
        if fault is None:
            return None
        if fault.kind == "rate_limit":
            return too_many_requests(self._store.settings, Standing(RateLimit(40, 1.0), 0, fault.seconds))
        if fault.kind != "status":
            return None
        if fault.body is None or isinstance(fault.body, str):
            return Response(fault.body, fault.status, fault.headers, media_type="text/html")
        return json_response(fault.body, fault.status, fault.headers)

    @staticmethod
    def _stalled(fault: Fault | None, asked: "_Asked") -> Response | None:
        """Return a page without rows whose next page is itself; return None for the first page of a list."""
        if fault is None or fault.kind != "stall":
            return None
        body = asked.body if isinstance(asked.body, dict) else {}
        page: dict[str, Any] = {"has_more": True} if asked.query.get("_skip", "0") != "0" else {}
        cursors = {"cursor_next": asked.query.get("_cursor"), "cursor": body.get("cursor")}
        page |= {name: cursor for name, cursor in cursors.items() if cursor}
        return json_response({"data": [], **page}) if page else None

    def _answer(self, asked: "_Asked") -> Response:
        try:
            self._check_key(asked.headers.get("authorization", ""))
            standing, refusal = self._limiter.admit(asked.path, asked.method)
            if refusal is not None:
                return refusal
            response = self._routed(asked)
            if standing is not None and self._store.settings.rate_limit_header:
                response.headers["ratelimit"] = standing.header()
        except ApiError as error:
            return error.response()
        return response

    def _routed(self, asked: "_Asked") -> Response:
        for prefix, status in self._store.settings.forbidden.items():
            if asked.path.startswith(prefix):
                raise plain(status, _FORBIDDEN_TEXTS.get(status, "Forbidden"))
        if asked.is_invalid:
            raise plain(400, "The request contains invalid JSON.")
        with self._store.lock:
            now = self._store.advance()
            call = Call(asked.method, asked.path, asked.query, asked.body, self._store, now)
            return self._routes.answer(call)

    def _check_key(self, authorization: str) -> None:
        scheme, _, value = authorization.partition(" ")
        expected = base64.b64encode(f"{self._store.settings.api_key}:".encode()).decode()
        if scheme.lower() != "basic" or value != expected:
            raise plain(401, "Unauthorized")


class _Asked:
    """A request with its effective method: a POST with `x-http-method-override: GET` counts as a GET."""

    def __init__(self, request: Request, raw: bytes) -> None:
        self.http_method = request.method
        self.headers = dict(request.headers)
        self.path = request.url.path.removeprefix(PREFIX)
        self.query = dict(parse_qsl(request.url.query, keep_blank_values=True))
        self.is_invalid = False
        self.body = self._parsed(raw)
        override = self.headers.get(_OVERRIDE, "").upper()
        self.method = override if request.method == "POST" and override == "GET" else request.method
        if self.method != request.method and isinstance(self.body, dict):
            self.query |= {name: str(value) for name, value in self.body.get("_params", {}).items()}

    def _parsed(self, raw: bytes) -> Any:
        if not raw:
            return None
        try:
            return orjson.loads(raw)
        except orjson.JSONDecodeError:
            self.is_invalid = True
            return None


def _damaged(response: Response, fault: Fault) -> Response:
    """Return the right response, damaged as the fault requires."""
    match fault.kind:
        case "truncate":
            body = bytes(response.body)
            return Response(body[: len(body) // 2], response.status_code, media_type="application/json")
        case "edit":
            body = fault.edit(bytes(response.body))
            return Response(body, response.status_code, fault.headers, media_type="application/json")
        case _:
            return response


async def _send_half(response: Response, send: Send) -> None:
    body = bytes(response.body)
    await send({"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers})
    await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})

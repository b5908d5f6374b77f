"""The path of a request through the server: log, faults, latency, access, rate limits, response."""

import base64
import time
from email.utils import formatdate
from threading import Lock
from typing import Any

from .call import Call
from .errors import ApiError, Response, json_response, plain
from .faults import Fault, FaultPlan
from .ratelimit import RateLimiter, Standing, too_many_requests
from .request import Request
from .routes import answer
from .settings import RateLimit
from .store import Store

_FORBIDDEN_TEXTS = {402: "Payment required", 403: "Forbidden"}


class Gate:
    """What the server does between a request and its response, below `/api/v1`."""

    def __init__(self, store: Store, faults: FaultPlan) -> None:
        self.log: list[Request] = []
        self._store = store
        self._faults = faults
        self._limiter = RateLimiter(store.settings)
        self._in_flight = 0
        # Requests take turns, except while they wait.
        self._turn = Lock()

    def serve(self, request: Request) -> tuple[Response | None, Fault]:
        """Return the response, None if there is none, and the fault that struck the request."""
        with self._turn:
            self._in_flight += 1
            request.in_flight = self._in_flight
            self.log.append(request)
            self._store.request_started(len(self.log))
            fault = self._faults.next(request.path, request.query)
        if fault.kind in {"hang", "slow"}:
            time.sleep(fault.seconds)
        has_response = fault.kind not in {"hang", "reset"}
        if has_response:
            time.sleep(self._store.settings.latency)
        with self._turn:
            self._in_flight -= 1
            response = self._response(request, fault) if has_response else None
            if response is not None:
                request.status = response.status
            return response, fault

    def _response(self, request: Request, fault: Fault) -> Response:
        settings = self._store.settings
        match fault.kind:
            case "rate_limit":
                response = too_many_requests(settings, Standing(RateLimit(40, 1.0), 0, fault.seconds))
            case "status" if fault.body is None or isinstance(fault.body, str):
                content = (fault.body or "").encode()
                response = Response(fault.status, content, {"content-type": "text/html"} | fault.headers)
            case "status":
                response = json_response(fault.body, fault.status, fault.headers)
            case "truncate":
                right = self._answer(request)
                response = json_response(right.body[: len(right.body) // 2], right.status)
            case "stall":
                response = _stalled(request) or self._answer(request)
            case _:
                response = self._answer(request)
        response.headers.setdefault("date", formatdate(settings.now().timestamp(), usegmt=True))
        return response

    def _answer(self, request: Request) -> Response:
        try:
            self._check_key(request.headers.get("authorization", ""))
            standing, refusal = self._limiter.admit(request.path)
            if refusal is not None:
                return refusal
            response = self._routed(request)
            if standing is not None and self._store.settings.rate_limit_header:
                response.headers["ratelimit"] = standing.header()
        except ApiError as error:
            return error.response
        return response

    def _routed(self, request: Request) -> Response:
        for prefix, status in self._store.settings.forbidden.items():
            if request.path.startswith(prefix):
                raise plain(status, _FORBIDDEN_TEXTS.get(status, "Forbidden"))
        with self._store.lock:
            return answer(Call(request, self._store, self._store.advance()))

    def _check_key(self, authorization: str) -> None:
        scheme, _, value = authorization.partition(" ")
        expected = base64.b64encode(f"{self._store.settings.api_key}:".encode()).decode()
        if scheme.lower() != "basic" or value != expected:
            raise plain(401, "Unauthorized")


def _stalled(request: Request) -> Response | None:
    """Return a page without rows whose next page is itself; return None for the first page of a list."""
    body = request.json if isinstance(request.json, dict) else {}
    page: dict[str, Any] = {"has_more": True} if request.query.get("_skip", "0") != "0" else {}
    cursors = {"cursor_next": request.query.get("_cursor"), "cursor": body.get("cursor")}
    page |= {name: cursor for name, cursor in cursors.items() if cursor}
    return json_response({"data": [], **page}) if page else None

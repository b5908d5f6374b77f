"""Rate limits by endpoint group, in fixed windows of real time."""

import math
import time
from dataclasses import dataclass

from .errors import Response, json_response
from .settings import RateLimit, Settings


@dataclass(frozen=True)
class Standing:
    """The state of an endpoint group: the requests that are left and the seconds until its window ends."""

    limit: RateLimit
    remaining: int
    reset: float

    def header(self) -> str:
        return f"limit={self.limit.limit}, remaining={self.remaining}, reset={self.reset:.6f}"


class RateLimiter:
    """Counts the requests of each endpoint group, the first part of a path, and rejects those above a limit."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._windows: dict[tuple[str, RateLimit], tuple[float, int]] = {}

    def admit(self, path: str) -> tuple[Standing | None, Response | None]:
        """Count a request; return the state of its group, and a 429 if the request exceeds a limit."""
        limit = self._settings.rate_limit
        if limit is None:
            return None, None
        now = time.monotonic()
        key = (path.split("/")[1], limit)
        start, used = self._windows.get(key, (now, 0))
        if now - start >= limit.window:
            start = now
            used = 0
        fits = used < limit.limit
        if fits:
            used += 1
        self._windows[key] = (start, used)
        standing = Standing(limit, limit.limit - used, start + limit.window - now)
        refusal = None if fits else too_many_requests(self._settings, standing)
        return standing, refusal


def too_many_requests(settings: Settings, standing: Standing) -> Response:
    """Return a 429 in the form that the settings choose."""
    headers = {}
    if settings.rate_limit_reply_header:
        headers["ratelimit"] = standing.header()
    if settings.rate_limit_reply_retry_after:
        headers["retry-after"] = str(math.ceil(standing.reset))
    text = "API call count exceeded for this period"
    match settings.rate_limit_reply_body:
        case "plain":
            return json_response({"error": text}, 429, headers)
        case "empty":
            return json_response(b"", 429, headers)
        case "old":
            error = {
                "message": text,
                "rate_reset": round(standing.reset, 6),
                "rate_limit": standing.limit.limit,
                "rate_window": standing.limit.window,
                "rate_limit_type": "key",
                "rate_endpoint_group": "5f4dcc3b",
            }
            return json_response({"error": error}, 429, headers)

"""A simulated server with a rate limit, and workers that send requests to it, on a simulated clock."""

from __future__ import annotations

import heapq
import io
import math
from collections.abc import Callable
from dataclasses import dataclass

import requests
from requests.structures import CaseInsensitiveDict

from source_close.api.rate_limits import RateLimiter
from unit_tests.syncs import Clock


def response(status: int = 200, body: bytes = b"{}", **headers: str) -> requests.Response:
    """Return a response; in the names of ``headers``, ``_`` represents ``-``."""
    built = requests.Response()
    built.status_code = status
    built.raw = io.BytesIO(body)
    built.headers = CaseInsensitiveDict({name.replace("_", "-"): value for name, value in headers.items()})
    return built


@dataclass
class Figures:
    """The figures of one simulated read."""

    responses: int
    refused: int
    seconds: float
    per_second: int

    @property
    def refused_share(self) -> float:
        return self.refused / self.responses

    @property
    def times_the_limit(self) -> float:
        return self.seconds / ((self.responses - self.refused) / self.per_second)


class FixedWindows:
    """A server that counts requests in windows of one second.

    ``make_headers`` takes the status, the remaining requests, the seconds until the reset and the limit.
    """

    def __init__(
        self, per_second: int, phase: float, make_headers: Callable[[int, int, float, int], dict[str, str]]
    ) -> None:
        self._per_second = per_second
        self._phase = phase
        self._make_headers = make_headers
        self._window = -1
        self._count = 0

    def respond(self, now: float) -> requests.Response:
        elapsed = now + self._phase
        if (window := math.floor(elapsed)) != self._window:
            self._window, self._count = window, 0
        allowed = self._count < self._per_second
        self._count += allowed
        status = 200 if allowed else 429
        return response(
            status,
            b"{}",
            **self._make_headers(status, self._per_second - self._count, window + 1 - elapsed, self._per_second),
        )


def simulate(
    server: FixedWindows, *, workers: int, successes: int, latency: float = 0.05, per_second: int = 20
) -> Figures:
    """Let ``workers`` send requests to one endpoint group until ``successes`` of them have got a 200."""
    clock = Clock()
    began, limiter = clock.now, RateLimiter(clock)
    # (time, order of scheduling, kind of event, response on its way)
    events: list[tuple[float, int, str, requests.Response | None]] = []
    number = iter(range(10**9))
    responses = refused = wanted = 0

    def schedule(delay: float, kind: str, response: requests.Response | None = None) -> None:
        heapq.heappush(events, (clock.now + delay, next(number), kind, response))

    for _ in range(workers):
        schedule(0, "request")
    while events:
        clock.now, _, kind, response = heapq.heappop(events)
        if kind == "request":
            if wanted >= successes:
                continue
            if (wait := limiter.reserve("GET /activity/")) > 0:
                schedule(wait, "request")
                continue
            wanted += 1
            schedule(latency / 2, "arrive")
        elif kind == "arrive":
            schedule(latency / 2, "return", server.respond(clock.now))
        else:
            assert response is not None
            limiter.record_response("GET /activity/", response)
            responses += 1
            if response.status_code != 200:
                refused += 1
                wanted -= 1
            schedule(0, "request")
        if responses - refused == successes:
            break
    return Figures(responses, refused, clock.now - began, per_second)

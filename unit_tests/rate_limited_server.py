"""A server that allows so many requests a second, and workers that keep it busy, on a clock of their own."""

from __future__ import annotations

import heapq
import io
import math
from collections.abc import Callable
from dataclasses import dataclass

import requests
from requests.structures import CaseInsensitiveDict

from source_close.components.rate_limiter import RateLimiter
from unit_tests.syncs import Clock


def response(status: int = 200, body: bytes = b"{}", **headers: str) -> requests.Response:
    """An answer; header names with ``_`` for ``-``."""
    answer = requests.Response()
    answer.status_code = status
    answer.raw = io.BytesIO(body)
    answer.headers = CaseInsensitiveDict({name.replace("_", "-"): value for name, value in headers.items()})
    return answer


@dataclass
class Figures:
    """What a run cost."""

    answers: int
    refused: int
    seconds: float
    per_second: int

    @property
    def refused_share(self) -> float:
        return self.refused / self.answers

    @property
    def times_the_limit(self) -> float:
        return self.seconds / ((self.answers - self.refused) / self.per_second)


class FixedWindows:
    """Counts requests in windows of one second; ``tells`` makes the headers from (remaining, seconds to the reset)."""

    def __init__(self, per_second: int, phase: float, tells: Callable[[int, int, float, int], dict[str, str]]) -> None:
        self._per_second = per_second
        self._phase = phase
        self._tells = tells
        self._window = -1
        self._count = 0

    def answer(self, now: float) -> requests.Response:
        elapsed = now + self._phase
        if (window := math.floor(elapsed)) != self._window:
            self._window, self._count = window, 0
        allowed = self._count < self._per_second
        self._count += allowed
        status = 200 if allowed else 429
        return response(
            status, b"{}", **self._tells(status, self._per_second - self._count, window + 1 - elapsed, self._per_second)
        )


def simulate(
    server: FixedWindows, *, workers: int, successes: int, latency: float = 0.05, per_second: int = 20
) -> Figures:
    """Let ``workers`` send requests to one endpoint group until so many were answered with 200."""
    clock = Clock()
    began, limiter = clock.now, RateLimiter(clock)
    # (when, order of scheduling, what happens, the answer on its way)
    events: list[tuple[float, int, str, requests.Response | None]] = []
    number = iter(range(10**9))
    answers = refused = wanted = 0

    def schedule(delay: float, what: str, answer: requests.Response | None = None) -> None:
        heapq.heappush(events, (clock.now + delay, next(number), what, answer))

    for _ in range(workers):
        schedule(0, "ask")
    while events:
        clock.now, _, what, answer = heapq.heappop(events)
        if what == "ask":
            if wanted >= successes:
                continue
            if (wait := limiter.reserve("GET /activity/")) > 0:
                schedule(wait, "ask")
                continue
            wanted += 1
            schedule(latency / 2, "arrive")
        elif what == "arrive":
            schedule(latency / 2, "return", server.answer(clock.now))
        else:
            assert answer is not None
            limiter.record_response("GET /activity/", answer)
            answers += 1
            if answer.status_code != 200:
                refused += 1
                wanted -= 1
            schedule(0, "ask")
        if answers - refused == successes:
            break
    return Figures(answers, refused, clock.now - began, per_second)

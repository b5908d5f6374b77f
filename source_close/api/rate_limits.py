"""Keep within Close's rate limits: https://developer.close.com/api/overview/rate-limits.md."""

import re
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from email.utils import parsedate_to_datetime as read_date
from math import inf
from typing import Any

import requests
from airbyte_cdk import BackoffStrategy

TOO_MANY_REQUESTS = 429
_HEADER = re.compile(r"limit=(?P<limit>\d+),\s*remaining=(?P<remaining>\d+),\s*reset=(?P<reset>\d+(?:\.\d+)?)")
# Without the header the pace is learned: after a 429 this share of the rate that worked, then slowly more.
_SHARE_AFTER_429, _GROWTH_PER_SECOND = 0.85, 1.02
# Until the limit is known: this many requests at once, and half a request more after each success.
_FIRST_IN_FLIGHT, _GROWTH_PER_SUCCESS = 4.0, 0.5
# Where a 429 says how long to wait: ``retry-after`` in seconds or as a date, ``ratelimit``, two forms of an old body.
_WAITS: Sequence[Callable[[Any], float]] = (
    lambda response: float(response.headers["retry-after"]),
    lambda response: (read_date(response.headers["retry-after"]) - read_date(response.headers["date"])).total_seconds(),
    lambda response: float(_HEADER.search(response.headers["ratelimit"])["reset"]),  # type: ignore[index] # suppressed
    lambda response: float(response.json()["rate_reset"]),
    lambda response: float(response.json()["error"]["rate_reset"]),
)
_ASK_AGAIN_SECONDS, _RATE_WINDOW_SECONDS, _MAX_GUESSED_WAIT_SECONDS = 0.01, 2.0, 60.0


class _Group:
    """The rate limit of an endpoint group: the window from the header (infinite without one), else the learned pace."""

    def __init__(self) -> None:
        self.limit = self.remaining = self.reset_at = inf
        self.in_flight, self.max_in_flight, self.refused_in_a_row = 0, _FIRST_IN_FLIGHT, 0
        self.blocked_until = self.next_start = self.interval = self.eased_at = 0.0
        self.successes = deque[float](maxlen=1000)

    def wait_for_window(self, now: float) -> float:
        if now >= self.reset_at:
            self.remaining, self.reset_at = self.limit - self.in_flight, inf
        if self.remaining < 1 and self.reset_at == inf and not self.in_flight:
            self.limit = self.remaining = inf  # responses no longer have the header
        if self.remaining >= 1 and (self.limit != inf or self.in_flight < self.max_in_flight):
            return 0.0
        return self.reset_at - now if self.reset_at != inf else _ASK_AGAIN_SECONDS  # a response under way will tell

    def read_header(self, response: requests.Response, now: float) -> None:
        found = _HEADER.search(response.headers.get("ratelimit", ""))
        if not found or (self.limit == inf and response.status_code == TOO_MANY_REQUESTS):
            return  # if only 429s have the header, requests can't be counted by it
        reset = float(found["reset"])
        if self.reset_at == inf or now + reset > self.reset_at + reset / 2 + 0.2:
            self.remaining = self.reset_at = inf  # a new window
        self.remaining = min(self.remaining, float(found["remaining"]) - self.in_flight)
        self.reset_at, self.limit = min(self.reset_at, now + reset), float(found["limit"])


class RateLimiter:
    """Tells a worker how long to wait before its next request to an endpoint group. Thread-safe.

    It counts requests by the ``ratelimit`` header. Without that header it learns the pace from 429 responses.
    ``HTTPAPIBudget`` can't parse ``limit=100, remaining=50, reset=5`` and learns no pace. ``now`` returns seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now, self._lock, self._groups = now, threading.Lock(), defaultdict[str, _Group](_Group)

    def reserve(self, group: str) -> float:
        """Reserve a request to ``group`` and return 0, or return the seconds after which to try again."""
        with self._lock:
            now, known = self._now(), self._groups[group]
            wait = max(known.wait_for_window(now), known.blocked_until - now, known.next_start - now)
            if wait > 0:
                return wait
            known.remaining -= 1
            known.in_flight += 1
            known.next_start = max(now, known.next_start) + known.interval
            return 0.0

    def record_response(self, group: str, response: requests.Response | None) -> None:
        """Learn from the response to a reserved request (None if none came). A 429 delays the whole group."""
        with self._lock:
            now, known = self._now(), self._groups[group]
            known.in_flight = max(known.in_flight - 1, 0)
            if response is None:
                return
            known.read_header(response, now)
            if response.status_code != TOO_MANY_REQUESTS:
                known.refused_in_a_row = 0
                known.successes.append(now)
                known.max_in_flight += _GROWTH_PER_SUCCESS
                if known.interval:
                    known.interval /= _GROWTH_PER_SECOND ** max(now - known.eased_at, 0.0)
                    known.eased_at = max(now, known.eased_at)
                return
            wait = wait_seconds(response) or min(2.0**known.refused_in_a_row, _MAX_GUESSED_WAIT_SECONDS)
            if now >= known.blocked_until:  # the first 429 of the requests under way
                known.refused_in_a_row += 1
                if known.limit == inf:
                    recent = [moment for moment in known.successes if moment > now - _RATE_WINDOW_SECONDS]
                    interval = max(now - recent[0], 1.0) / len(recent) if recent else known.interval
                    known.interval, known.eased_at = interval / _SHARE_AFTER_429, now + wait
            known.blocked_until = max(known.blocked_until, now + wait)


def wait_seconds(response: requests.Response) -> float:
    """Return how many seconds a 429 says to wait; 0 if it names no time or a time in the past."""
    for read in _WAITS:
        with suppress(AttributeError, KeyError, TypeError, ValueError):
            if (seconds := read(response)) > 0:  # also false for nan
                return seconds
    return 0.0


class RateLimitBackoffStrategy(BackoffStrategy):
    """Waits as long as a 429 says. ``WaitTimeFromHeader`` accepts "-5" and "nan" and can't read a date."""

    def backoff_time(self, response_or_exception: Any, attempt_count: int) -> float | None:
        """Return seconds, or None to leave the wait to the next strategy."""
        is_refusal = getattr(response_or_exception, "status_code", None) == TOO_MANY_REQUESTS
        return wait_seconds(response_or_exception) or None if is_refusal else None

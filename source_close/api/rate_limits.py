"""Keep within Close's rate limits: https://developer.close.com/api/overview/rate-limits.md."""

import re
import threading
import time
from collections import defaultdict, deque
from dataclasses import dataclass, field
from math import inf

import requests

_HEADER = re.compile(
    r"limit=(?P<limit>\d+),\s*remaining=(?P<remaining>\d+),\s*reset=(?P<reset>\d+(?:\.\d+)?)"
)
# Without the header the pace is learned.
_SHARE_AFTER_429 = 0.85  # of the rate of accepted requests before it
_RATE_WINDOW_SECONDS = 2.0  # in which that rate is measured
_GROWTH_PER_SECOND = 1.02  # of the pace, while no 429 comes
# Until the limit is known: this many requests at once, and half a request more for each accepted.
_FIRST_IN_FLIGHT = 4.0
_GROWTH_PER_ACCEPTED = 0.5
_ASK_AGAIN_SECONDS = 0.01  # while responses in flight may have the header
_MAX_GUESSED_WAIT_SECONDS = 60.0  # after a 429 that does not say how long


@dataclass
class _Group:
    """The rate limit of an endpoint group; all moments are those of ``time.monotonic``."""

    limit: float = inf  # the requests in a window of the ``ratelimit`` header; infinite without it
    remaining: float = inf  # those that are left in this window; infinite if not known
    reset_at: float = inf  # the end of this window; infinite if not known
    in_flight: int = 0  # the requests without a response so far
    max_in_flight: float = _FIRST_IN_FLIGHT  # how many these may be without a limit
    refused_in_a_row: int = 0  # the 429s since another response, for the guessed wait
    blocked_until: float = 0.0  # the end of the wait after a 429
    interval: float = 0.0  # the learned pace, in seconds between two requests
    next_start: float = 0.0  # when that allows the next request
    # The moments of the responses that were no 429s.
    accepted: deque[float] = field(default_factory=lambda: deque(maxlen=1000))

    def end_window_if_over(self, now: float) -> None:
        if now >= self.reset_at:
            self.remaining = self.limit - self.in_flight
            self.reset_at = inf
        if self.remaining < 1 and self.reset_at == inf and not self.in_flight:
            # Responses no longer have the header.
            self.limit = inf
            self.remaining = inf

    def seconds_until_free(self, now: float) -> float:
        if self.remaining >= 1 and (self.limit != inf or self.in_flight < self.max_in_flight):
            return 0.0
        if self.reset_at == inf:
            return _ASK_AGAIN_SECONDS
        return self.reset_at - now

    def read_header(self, response: requests.Response, now: float) -> None:
        found = _HEADER.search(response.headers.get("ratelimit", ""))
        is_refusal = response.status_code == requests.codes.too_many_requests
        if found is None or (is_refusal and self.limit == inf):
            return  # if only 429s have the header, requests can't be counted by it
        self.limit = float(found["limit"])
        remaining = float(found["remaining"]) - self.in_flight
        seconds = float(found["reset"])
        tolerance = seconds / 2 + 0.2  # responses may be slow, and seconds are rounded
        if now + seconds > self.reset_at + tolerance:
            self.remaining = remaining  # the first response of a window that began early
            self.reset_at = now + seconds
        else:
            self.remaining = min(self.remaining, remaining)
            self.reset_at = min(self.reset_at, now + seconds)

    def speed_up(self, now: float) -> None:
        self.refused_in_a_row = 0
        self.accepted.append(now)
        self.max_in_flight += _GROWTH_PER_ACCEPTED
        # One is accepted in each interval, so this makes the pace 2 % faster each second.
        self.interval /= _GROWTH_PER_SECOND**self.interval

    def slow_down(self, now: float, requested_wait: float) -> None:
        if now >= self.blocked_until:  # the first of several 429s in flight counts
            self.refused_in_a_row += 1
            self._learn_pace(now)
        guessed_wait = min(2.0 ** (self.refused_in_a_row - 1), _MAX_GUESSED_WAIT_SECONDS)
        self.blocked_until = max(self.blocked_until, now + (requested_wait or guessed_wait))

    def _learn_pace(self, now: float) -> None:
        if self.limit != inf:
            return
        recent = [moment for moment in self.accepted if moment > now - _RATE_WINDOW_SECONDS]
        if recent:
            self.interval = max(now - recent[0], 1.0) / len(recent)
        self.interval /= _SHARE_AFTER_429


class RateLimiter:
    """Tells a worker how long to wait before its next request to an endpoint group. Thread-safe.

    It counts the requests that the ``ratelimit`` header allows. Without the header, it learns the
    pace from 429s. ``HTTPAPIBudget``, the built-in, can't parse the form of the header, such as
    ``limit=100, remaining=50, reset=5``, and learns no pace.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._groups = defaultdict[str, _Group](_Group)

    def reserve(self, endpoint: str) -> float:
        """Reserve a request to a group and return 0, or return the seconds until it may be free."""
        with self._lock:
            now = time.monotonic()
            group = self._groups[endpoint]
            group.end_window_if_over(now)
            wait = max(
                group.seconds_until_free(now), group.blocked_until - now, group.next_start - now
            )
            if wait > 0:
                return wait
            group.remaining -= 1
            group.in_flight += 1
            group.next_start = now + group.interval
            return 0.0

    def record_response(
        self, endpoint: str, response: requests.Response | None, requested_wait: float = 0.0
    ) -> None:
        """Learn from the response to a reserved request, None if none came.

        Args:
            endpoint: the group, as in ``reserve``.
            response: a 429 delays the whole group.
            requested_wait: the seconds that a 429 asks to wait, 0 if it does not say.
        """
        with self._lock:
            now = time.monotonic()
            group = self._groups[endpoint]
            group.in_flight -= 1
            if response is None:
                return
            group.read_header(response, now)
            if response.status_code == requests.codes.too_many_requests:
                group.slow_down(now, requested_wait)
            else:
                group.speed_up(now)

"""Keeps within Close's rate limits: https://developer.close.com/api/overview/rate-limits.md."""

import re
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime as read_date
from typing import Any

import requests
from airbyte_cdk.sources.streams.http.error_handlers import BackoffStrategy

TOO_MANY_REQUESTS = 429
_HEADER = re.compile(r"limit=(?P<limit>\d+),\s*remaining=(?P<remaining>\d+),\s*reset=(?P<reset>\d+(?:\.\d+)?)")
# Without a header the rate is found by trying: after a 429 this share of what went well, then slowly more.
_SHARE_AFTER_429, _GROWTH_PER_SECOND = 0.85, 1.02
# While nothing is known of a limit: so many requests at once, and for each that goes well this share of one more.
_FIRST_IN_FLIGHT, _GROWTH_PER_ANSWER = 4.0, 0.5
# Where a 429 says how long to wait: ``retry-after`` in seconds or as a date, ``ratelimit``, the old body in two forms.
_WAITS: Sequence[Callable[[Any], float]] = (
    lambda answer: float(answer.headers["retry-after"]),
    lambda answer: (read_date(answer.headers["retry-after"]) - read_date(answer.headers["date"])).total_seconds(),
    lambda answer: float(_HEADER.search(answer.headers["ratelimit"])["reset"]),  # type: ignore[index] # suppressed
    lambda answer: float(answer.json()["rate_reset"]),
    lambda answer: float(answer.json()["error"]["rate_reset"]),
)
_ASK_AGAIN_SECONDS, _RATE_WINDOW_SECONDS, _LONGEST_GUESSED_WAIT_SECONDS = 0.01, 2.0, 60.0


@dataclass
class _Group:
    limit: int | None = None
    remaining: float = float("inf")
    reset_at: float = float("inf")
    in_flight: int = 0
    most_in_flight: float = _FIRST_IN_FLIGHT
    blocked_until: float = 0.0
    interval: float = 0.0
    next_start: float = 0.0
    eased_at: float = 0.0
    refused_in_a_row: int = 0
    answered: deque[float] = field(default_factory=lambda: deque(maxlen=1000))


class RateLimiter:
    """Tells a worker how long to wait before its next request to an endpoint group. Safe to use from several threads.

    With the ``ratelimit`` header the requests that remain are shared out, so that none is refused. Without it the
    pace is learned from 429 answers. ``HTTPAPIBudget`` reads one number a header and cannot read ``limit=100,
    remaining=50, reset=5``; nor does it adapt where there is no header. ``now`` gives seconds, and never goes back.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now, self._lock, self._groups = now, threading.Lock(), dict[str, _Group]()

    def reserve(self, group: str) -> float:
        """Reserve the next request to ``group``; 0 if it may start now, else the seconds until to ask again."""
        with self._lock:
            now, known = self._now(), self._groups.setdefault(group, _Group())
            wait = max(self._wait_for_window(known, now), known.blocked_until - now, known.next_start - now)
            if wait > 0:
                return wait
            known.remaining -= 1
            known.in_flight += 1
            if known.interval:
                known.next_start = max(now, known.next_start) + known.interval
            return 0.0

    @staticmethod
    def _wait_for_window(known: _Group, now: float) -> float:
        if now >= known.reset_at and known.limit is not None:
            known.remaining, known.reset_at = known.limit - known.in_flight, float("inf")
        if known.remaining < 1 and known.reset_at == float("inf") and not known.in_flight:
            known.limit, known.remaining = None, float("inf")  # answers have ceased to have the header
        if known.limit is None and known.in_flight >= known.most_in_flight:
            return _ASK_AGAIN_SECONDS
        if known.remaining >= 1:
            return 0.0
        # Every request that could tell is under way: ask again shortly.
        return known.reset_at - now if known.reset_at != float("inf") else _ASK_AGAIN_SECONDS

    def answered(self, group: str, response: requests.Response | None) -> None:
        """Take in the answer to a reserved request, None if there was none; a 429 holds the whole group back."""
        with self._lock:
            now, known = self._now(), self._groups.setdefault(group, _Group(in_flight=1))
            known.in_flight -= 1
            if response is not None:
                self._read_header(known, response, now)
            if response is not None and response.status_code == TOO_MANY_REQUESTS:
                self._refused(known, response, now)
            elif response is not None:
                known.refused_in_a_row = 0
                known.answered.append(now)
                known.most_in_flight += _GROWTH_PER_ANSWER
                if known.interval:
                    known.interval /= _GROWTH_PER_SECOND ** (now - known.eased_at)
                    known.eased_at = now

    @staticmethod
    def _read_header(known: _Group, response: requests.Response, now: float) -> None:
        found = _HEADER.search(response.headers.get("ratelimit", ""))
        if not found or (known.limit is None and response.status_code == TOO_MANY_REQUESTS):
            return  # where only refusals have it, it can't be counted by
        reset_at, counted = now + float(found["reset"]), float(found["remaining"]) - known.in_flight
        is_new_window = known.reset_at == float("inf") or reset_at > known.reset_at + float(found["reset"]) / 2 + 0.2
        known.remaining = counted if is_new_window else min(known.remaining, counted)
        known.reset_at = reset_at if is_new_window else min(known.reset_at, reset_at)
        known.limit = int(found["limit"])

    @staticmethod
    def _refused(known: _Group, response: requests.Response, now: float) -> None:
        # 0 is no wait at all: to ask again at once would only be refused again.
        wait = seconds_told(response) or min(2.0**known.refused_in_a_row, _LONGEST_GUESSED_WAIT_SECONDS)
        if now >= known.blocked_until:  # the first of those that were under way together
            known.refused_in_a_row += 1
            if known.limit is None:
                recent = [moment for moment in known.answered if moment > now - _RATE_WINDOW_SECONDS]
                if recent:
                    known.interval = max(now - recent[0], 1.0) / (len(recent) * _SHARE_AFTER_429)
                else:  # nothing is known of what would go well: slower than before, if there was a pace
                    known.interval /= _SHARE_AFTER_429
                known.eased_at = now + wait
        known.blocked_until = max(known.blocked_until, now + wait)


def seconds_told(response: requests.Response) -> float:
    """How long a 429 says to wait; 0 if nothing in it tells of a time to come."""
    for read in _WAITS:
        with suppress(AttributeError, KeyError, TypeError, ValueError):
            if (seconds := read(response)) > 0:  # which "nan" is not
                return seconds
    return 0.0


@dataclass
class ToldBackoffStrategy(BackoffStrategy):
    """Waits as long as a 429 says; ``WaitTimeFromHeader`` takes "-5" and "nan" for numbers, and reads no date."""

    def backoff_time(self, response_or_exception: Any, attempt_count: int) -> float | None:
        """Seconds, or None to leave it to the next strategy."""
        is_refusal = getattr(response_or_exception, "status_code", None) == TOO_MANY_REQUESTS
        return seconds_told(response_or_exception) or None if is_refusal else None

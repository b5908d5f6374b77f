"""The state that the streams of one sync share. The CDK has no place for it: each stream has a requester of its own."""

import logging
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar
from weakref import WeakValueDictionary

import requests

from source_close.api.rate_limits import RateLimiter

LOGGER = logging.getLogger("airbyte.source-close")
KEY_REFUSED = ("", "")


class Sync:
    """The shared state of one sync, found by the config's ``sync_id``; it is freed when no component refers to it.

    Attributes:
        sending: thread-local; ``request`` is what the thread is sending, e.g. ``GET /api/v1/task/``.
        given_up: the error for each (stream, request) that is not sent again; under ``KEY_REFUSED`` for all requests.
        failing_since: for each (stream, request) when it first failed after its last success (``time.monotonic``).
        clock_lead: how far the local clock is ahead of Close's, by the first ``Date``; 0 if behind, None before.
        log: the changes by object type, or the error if the event log can't be read; None before. See ``log_lock``.
    """

    _all: ClassVar["WeakValueDictionary[str, Sync]"] = WeakValueDictionary()
    _lock: ClassVar = threading.Lock()

    def __init__(self) -> None:
        self.limiter, self.sending = RateLimiter(time.monotonic), threading.local()
        self.given_up: dict[tuple[str, str], Any] = {}
        self.failing_since: dict[tuple[str, str], float] = {}
        self.clock_lead: timedelta | None = None
        self.log: Any = None
        self.log_lock, self.emit_lock, self.is_log_forbidden = threading.Lock(), threading.RLock(), False

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Sync":
        """Return the shared state for a config."""
        with cls._lock:
            return cls._all.setdefault(config["sync_id"], cls())

    def compare_clocks(self, response: requests.Response) -> None:
        """Set ``clock_lead`` from the first response with a readable ``Date``; to 0 if that is a day off or more."""
        with suppress(TypeError, ValueError):
            lead = datetime.now(timezone.utc) - parsedate_to_datetime(response.headers.get("date", ""))
            if self.clock_lead is None:
                self.clock_lead = max(lead, timedelta()) if abs(lead) < timedelta(days=1) else timedelta()

"""What the streams of one sync share, since the CDK gives each its own requester."""

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

from source_close.components.rate_limiter import RateLimiter

LOGGER = logging.getLogger("airbyte.source-close")
KEY_REFUSED = ("", "")


class Sync:
    """Found by the ``sync_id`` that the config transformation sets; it lives as long as somebody holds it.

    Attributes:
        sending: what the present thread is sending, as ``request``: e.g. ``GET /api/v1/task/``.
        ended: by stream and request why it is not worth sending any more; whatever it is, under ``KEY_REFUSED``.
        failing_since: by stream and request since when it has failed without a success, in seconds.
        clock_lead: how far this machine's clock is ahead of Close's by the first ``Date``; at least 0, None if unknown.
        log: what the event log tells, once a stream has read it, or why it can't be read; guarded by ``log_lock``.
    """

    _all: ClassVar["WeakValueDictionary[str, Sync]"] = WeakValueDictionary()
    _lock: ClassVar = threading.Lock()

    def __init__(self) -> None:
        self.limiter, self.sending = RateLimiter(time.monotonic), threading.local()
        self.ended: dict[tuple[str, str], Any] = {}
        self.failing_since: dict[tuple[str, str], float] = {}
        self.clock_lead: timedelta | None = None
        self.log: Any = None
        self.log_lock, self.is_log_forbidden = threading.Lock(), False

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Sync":
        """The one of a config."""
        with cls._lock:
            return cls._all.setdefault(config["sync_id"], cls())

    def compare_clocks(self, response: requests.Response) -> None:
        """Note how far this clock is ahead, unless the ``Date`` is unreadable or more than a day off."""
        with suppress(TypeError, ValueError):
            lead = datetime.now(timezone.utc) - parsedate_to_datetime(response.headers.get("date", ""))
            if self.clock_lead is None:
                self.clock_lead = max(lead, timedelta()) if abs(lead) < timedelta(days=1) else timedelta()

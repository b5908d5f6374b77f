"""What all components of one sync share: values for the manifest, and objects such as rate limits.

The CDK has no place for either: each stream has a requester of its own, and all that reaches every
component is the config.
"""

import threading
from collections.abc import Mapping
from typing import Any, TypeVar

from source_close.api.errors import CloseApiError
from source_close.api.rate_limits import RateLimiter

ANY_REQUEST = ("", "")  # the key in failing_since for requests of all streams
READ_RETRY_SECONDS = 300  # how long a request waits or is retried, if nobody waits for it
T = TypeVar("T")


class Sync(dict[str, Any]):
    """The value of ``sync`` in the config, which no file with a config can set.

    Its items are what ``manifest.yaml`` reads as ``config['sync'][…]``; its header explains them.

    Attributes:
        limiter: the rate limits.
        in_flight: ``endpoint`` of the thread's last request, such as ``GET /api/v1/task/``, and
            ``sent_at`` by this machine's clock.
        key_refused: why no request is sent any more, if Close refuses the key.
        unreadable_states: why a stream can't be read from its saved state, by stream.
        given_up: why an endpoint is not requested any more, by stream and endpoint.
        failing_since: when it first failed after its last success (``time.monotonic``), likewise;
            and when any request failed after the last success of any.
    """

    def __init__(self, **values: Any) -> None:
        defaults = {"event_log_positions": {}, "full_refreshes": [], "custom_field_columns": True}
        super().__init__(defaults | {"retry_seconds": READ_RETRY_SECONDS} | values)
        self.limiter = RateLimiter()
        self.in_flight = threading.local()
        self.key_refused: CloseApiError | None = None
        self.unreadable_states: dict[str, CloseApiError] = {}
        self.given_up: dict[tuple[str, str], CloseApiError] = {}
        self.failing_since: dict[tuple[str, str], float] = {}
        self._shared: dict[type[Any], Any] = {}

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Sync":
        """Return the sync of a config that ``CloseConfigTransformation`` has completed."""
        sync: Sync = config["sync"]
        return sync

    def share(self, kind: type[T]) -> T:
        """Return the sync's only object of the class ``kind``, made at the first call."""
        shared: T = self._shared.setdefault(kind, kind())  # one step for all threads
        return shared

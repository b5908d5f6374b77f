"""What all components of one sync share: values for the manifest, and objects such as rate limits.

They are in the config, since the CDK gives each stream a requester of its own, and lets streams
share no other object than an API budget.
"""

import threading
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

from source_close.api.errors import CloseApiError
from source_close.api.rate_limits import RateLimiter

ANY_REQUEST = ("", "")  # the key in given_up and failing_since for requests of all streams
READ_RETRY_SECONDS = 300  # how long a request of a read is retried
T = TypeVar("T")


class Sync(dict[str, str]):
    """The value of ``sync`` in the config, which no file with a config can set.

    Its items are what ``manifest.yaml`` reads as ``config['sync'][…]``; its header explains them.

    Attributes:
        retry_seconds: how long a request is retried. It waits up to twice as long for its rate
            limit.
        custom_field_columns: whether custom fields get columns in the schemas, as in discover.
        full_refreshes: the streams in full refresh. Leads and tasks then also read what is edited
            meanwhile.
        event_log_positions: the position of each stream that follows the event log in this sync, as
            ``format_moment`` writes it.
        limiter: the rate limits.
        current_request: ``endpoint`` of the thread's last request, such as ``GET /api/v1/task/``,
            and ``sent_at`` by this machine's clock.
        unreadable_states: why a stream can't be read from its saved state, by stream.
        given_up: why an endpoint is not requested any more, by stream and endpoint. With
            ``ANY_REQUEST``, why nothing is, as Close refuses the key.
        failing_since: since when an endpoint has only failed, by stream and endpoint, in seconds of
            ``time.monotonic``. With ``ANY_REQUEST``, since when all requests have.
    """

    def __init__(
        self,
        *,
        retry_seconds: float = READ_RETRY_SECONDS,
        custom_field_columns: bool = True,
        full_refreshes: Collection[str] = (),
        **values: str,
    ) -> None:
        super().__init__(values)
        self.retry_seconds = retry_seconds
        self.custom_field_columns = custom_field_columns
        self.full_refreshes = full_refreshes
        self.event_log_positions: dict[str, str] = {}
        self.limiter = RateLimiter()
        self.current_request = threading.local()
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
        shared: T = self._shared.setdefault(kind, kind())  # atomic, as threads call it
        return shared

"""How long to wait before a request is sent again, if Close does not say."""

from dataclasses import dataclass
from typing import Any

from airbyte_cdk.sources.declarative.requesters.error_handlers.backoff_strategies import (
    ExponentialBackoffStrategy,
)


@dataclass(kw_only=True)
class CappedBackoffStrategy(ExponentialBackoffStrategy):
    """Doubles the wait with each attempt, up to ``max_seconds``.

    ``ExponentialBackoffStrategy``, the built-in, also counts the attempts after which Close asked
    for a short wait: without a limit, the wait after fifteen of these is hours.
    """

    max_seconds: float

    def backoff_time(self, response_or_exception: Any, attempt_count: int) -> float:
        """Return the seconds to wait after an attempt; the first one has the number 1."""
        wait = super().backoff_time(response_or_exception, attempt_count) or 0.0
        return min(wait, self.max_seconds)

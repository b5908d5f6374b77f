"""The switches of the server. All of them may be changed while the server runs."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Literal

ListOrder = Literal["newest", "oldest", "id", "inserted", "date_updated"]
Wording = Literal["old", "new"]
_PAIRS = ([int, int], [int, float])
EventLag = float | Callable[[dict[str, Any]], float]


def utc_now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(timezone.utc)


@dataclass(frozen=True)
class RateLimit:
    """At most `limit` requests in each window of `window` seconds."""

    limit: int
    window: float

    @classmethod
    def from_json(cls, value: Any) -> "RateLimit":
        """Return the limit of a pair `[limit, window]`; raise ValueError for any other value."""
        if not isinstance(value, list) or [type(one) for one in value] not in _PAIRS:
            raise ValueError(f"A rate limit is a pair of requests and seconds, such as [40, 1.0], not {value!r}.")
        pair = cls(*value)
        if pair.limit < 0 or not 0 < pair.window < math.inf:
            raise ValueError(f"A rate limit has at least 0 requests and more than 0 seconds, unlike {value!r}.")
        return pair


def _max_skip() -> dict[str, int | None]:
    return {"activity": 250_000, "lead": 35_000, "task": None, "user": None, "custom_field": None}


def _max_limit() -> dict[str, int]:
    return {"activity": 100, "lead": 200, "task": 1_000, "user": 1_000, "custom_field": 1_000, "search": 200}


def _search_sort_fields() -> set[str]:
    return {"date_created", "date_updated", "display_name", "description", "url", "addresses_count", "all_urls_count"}


@dataclass
class Settings:
    """The switches of the server; times are in seconds.

    Where Close's reference does not define a behaviour, the values of a switch name the possible behaviours.
    """

    # Access
    api_key: str = "api_local"
    access_token: str | None = None
    admin: bool = True
    hidden_lead_ids: set[str] = field(default_factory=set)
    forbidden: dict[str, int] = field(default_factory=dict)

    # Time
    now: Callable[[], datetime] = utc_now
    latency: float = 0.0

    # Lists
    default_limit: int = 100
    max_limit: dict[str, int] = field(default_factory=_max_limit)
    max_skip: dict[str, int | None] = field(default_factory=_max_skip)
    rows_by_id: int | None = None
    error_wording: Wording = "old"
    activity_order: ListOrder = "newest"
    task_order: ListOrder = "newest"
    user_order: ListOrder = "inserted"
    lead_order: ListOrder = "newest"
    filter_precision: Literal["millisecond", "second"] = "millisecond"
    bad_date_filter: Literal["reject", "ignore"] = "reject"
    filter_needs_lead: Literal["ignore", "reject"] = "ignore"
    custom_field_lists_have_shared: bool = False
    meeting_date_created_is_start: bool = True

    # Search
    search_lag: float = 0.0
    search_cursor_life: float = 30.0
    search_cursor: Literal["snapshot", "after", "offset"] = "snapshot"
    search_max_rows: int = 10_000
    search_past_max_rows: Literal["null", "reject"] = "null"
    search_max_fields: int = 100
    search_custom_values: Literal["both", "by_id", "by_name", "none"] = "both"
    search_sort_fields: set[str] = field(default_factory=_search_sort_fields)
    search_activity_date_updated: Literal["works", "reject"] = "works"

    # Event log
    event_max_limit: int = 50
    event_retention_days: float = 30.0
    event_lag: EventLag = 0.0
    event_consolidation: float = 60.0
    event_date_filter_with_cursor: Literal["honour", "ignore", "reject"] = "honour"
    event_cursor_keeps_bounds: bool = True
    event_unlisted_filters: Literal["works", "ignore", "reject"] = "works"
    event_data_for_non_admin: Literal["missing", "null"] = "missing"
    custom_field_deletion_moves_date_updated: bool = False
    merge_moves_date_updated: bool = True
    lead_merge_activity_on: Literal["destination", "source"] = "destination"

    # Rate limits
    rate_limit: RateLimit | None = None
    rate_limits: dict[str, RateLimit] = field(default_factory=dict)
    hidden_rate_limits: dict[str, RateLimit] = field(default_factory=dict)
    rate_limit_header: bool = True
    rate_limit_reply_retry_after: bool = True
    rate_limit_reply_header: bool = True
    rate_limit_reply_body: Literal["old", "plain", "empty"] = "plain"

    def change(self, changes: dict[str, Any]) -> None:
        """Set switches from JSON values; raise ValueError, and set none, for an unknown name or a bad rate limit.

        A list becomes a set where the switch is a set. A pair `[limit, window]` becomes a `RateLimit`. `max_skip` and
        `max_limit` keep the resources that the new value does not name.
        """
        values: dict[str, Any] = {}
        for name, value in changes.items():
            if name.startswith("_") or name not in self.__dataclass_fields__ or name == "now":
                message = f"There is no switch called {name!r} that JSON can set."
                raise ValueError(message)
            values[name] = self._from_json(name, value)
        for name, value in values.items():
            setattr(self, name, value)

    def _from_json(self, name: str, value: Any) -> Any:
        if name == "rate_limit":
            return None if value is None else RateLimit.from_json(value)
        if name in {"rate_limits", "hidden_rate_limits"}:
            if not isinstance(value, dict):
                raise ValueError(f"{name} is an object with a rate limit for each group, not {value!r}.")
            return {group: RateLimit.from_json(pair) for group, pair in value.items()}
        if isinstance(getattr(self, name), set):
            return set(value)
        if name in {"max_skip", "max_limit"}:
            return {**getattr(self, name), **value}
        return value

"""The switches of the server. All of them may be changed while the server runs."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Literal

ListOrder = Literal["newest", "oldest", "id", "inserted", "date_updated"]
Wording = Literal["old", "new"]
EventLag = float | Callable[[dict[str, Any]], float]


def utc_now() -> datetime:
    return datetime.now(timezone.utc)


@dataclass(frozen=True)
class RateLimit:
    """At most `limit` requests in each window of `window` seconds."""

    limit: int
    window: float


_MAX_SKIP = {"activity": 250_000, "lead": 35_000, "task": None, "user": None, "custom_field": None}
_MAX_LIMIT = {"activity": 100, "lead": 200, "task": 1_000, "user": 1_000, "custom_field": 1_000, "search": 200}


@dataclass
class Settings:
    """The switches of the server; times are in seconds.

    Where Close's reference does not define a behaviour, the values of a switch name the possible behaviours.
    """

    # Access
    api_key: str = "api_local"
    admin: bool = True
    forbidden: dict[str, int] = field(default_factory=dict)

    # Time
    now: Callable[[], datetime] = utc_now
    latency: float = 0.0

    # Lists
    max_limit: dict[str, int] = field(default_factory=_MAX_LIMIT.copy)
    max_skip: dict[str, int | None] = field(default_factory=_MAX_SKIP.copy)
    rows_by_id: int | None = None
    error_wording: Wording = "old"
    activity_order: ListOrder = "newest"
    task_order: ListOrder = "newest"
    task_order_by: Literal["honour", "ignore"] = "honour"
    user_order: ListOrder = "inserted"
    lead_order: ListOrder = "newest"
    list_ties: Literal["stable", "random"] = "stable"
    filter_precision: Literal["millisecond", "second"] = "millisecond"
    lead_custom_values: Literal["both", "by_id", "by_name", "by_id_in_custom"] = "both"
    custom_field_lists_have_shared: bool = False
    pages_of_unpaged_lists: Literal["ignore", "reject"] = "ignore"
    meeting_date_created_is_start: bool = True

    # Search
    search_lag: float = 0.0
    search_cursor_life: float = 30.0
    search_sort_precision: Literal["millisecond", "second"] = "millisecond"
    search_cursor: Literal["snapshot", "after", "offset"] = "snapshot"
    search_max_rows: int = 10_000
    search_past_max_rows: Literal["null", "reject"] = "null"

    # Event log
    event_lag: EventLag = 0.0
    event_types_are_complete: bool = False
    email_thread_deletion_logs_emails: bool = True
    event_consolidation: float = 60.0
    event_date_filter_with_cursor: Literal["honour", "ignore", "reject"] = "honour"
    event_cursor_keeps_bounds: bool = True
    event_data_for_non_admin: Literal["missing", "null"] = "missing"
    merge_moves_date_updated: bool = True

    # Rate limits
    rate_limit: RateLimit | None = None
    rate_limit_header: bool = True
    rate_limit_reply_retry_after: bool = True
    rate_limit_reply_header: bool = True
    rate_limit_reply_body: Literal["old", "plain", "empty"] = "plain"

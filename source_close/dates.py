"""Parse and format dates as they occur in Close's responses, in configs and in saved states."""

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

EARLIEST = datetime(1900, 1, 1, tzinfo=timezone.utc)  # before any record, with room for a lookback
# Close shows events up to five minutes late, and its search index is a minute behind, or more
# during incidents. This covers both.
LATENESS = timedelta(minutes=10)
# If this machine's clock is further ahead of Close's, the sync fails.
MAX_CLOCK_LEAD = timedelta(minutes=5)
SECOND = timedelta(seconds=1)
MILLISECOND = timedelta(milliseconds=1)  # the precision of Close's timestamps


def utc_now() -> datetime:
    """Return the current time in UTC, truncated to milliseconds."""
    now = datetime.now(timezone.utc)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def whole_second(moment: datetime) -> datetime:
    """Return ``moment`` without a fraction of its second, as Close may truncate date filters."""
    return moment.replace(microsecond=0)


def parse_moment(text: str) -> datetime:
    """Parse an ISO date or date-time into UTC; without an offset it is UTC.

    Raises:
        ValueError: if it is neither.
        OverflowError: if the offset moves it out of the years 1 to 9999.
    """
    if text.endswith(("Z", "z")):  # datetime.fromisoformat accepts it only from Python 3.11 on
        text = text[:-1] + "+00:00"
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        return moment.replace(tzinfo=timezone.utc)
    return moment.astimezone(timezone.utc)


def format_moment(moment: datetime) -> str:
    """Format ``moment`` as Close does, e.g. ``2024-05-06T07:08:09.010000+00:00``."""
    return moment.astimezone(timezone.utc).isoformat(timespec="microseconds")


def moment_of(row: Mapping[str, Any], field: str) -> datetime | None:
    """Return the date in ``field`` of ``row`` in UTC, or None if it is missing or not a date."""
    try:
        return parse_moment(row[field])
    except (AttributeError, KeyError, OverflowError, ValueError):
        return None

"""Moments in time as Close, configs and saved states write them."""

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

Row = dict[str, Any]
EARLIEST = datetime(1900, 1, 1, tzinfo=timezone.utc)  # before anything in Close; there must be room for a lookback
MILLISECOND = timedelta(milliseconds=1)  # the finest unit that Close keeps


def utc_now() -> datetime:
    """The present moment in UTC, cut to milliseconds."""
    now = datetime.now(timezone.utc)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def parse_moment(text: str) -> datetime:
    """Read a date-time or date in any ISO form into UTC; no zone means UTC. Raises ``ValueError`` if it is none."""
    # datetime.fromisoformat reads a Z only from Python 3.11 on.
    moment = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith(("Z", "z")) else text)
    try:
        return moment.astimezone(timezone.utc) if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    except OverflowError as error:
        raise ValueError(f"{text} is out of range") from error


def format_moment(moment: datetime) -> str:
    """Write ``moment`` as Close does, e.g. ``2024-05-06T07:08:09.010000+00:00``."""
    return moment.astimezone(timezone.utc).isoformat(timespec="microseconds")


def moment_of(row: Mapping[str, Any], field: str) -> datetime | None:
    """The value of a date field of ``row`` in UTC, or None where it is missing or no date-time."""
    try:
        return parse_moment(row[field])
    except (AttributeError, KeyError, ValueError):
        return None

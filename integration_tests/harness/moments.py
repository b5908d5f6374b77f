"""Durations, and moments as the API writes them."""

from datetime import datetime, timedelta, timezone

from integration_tests.close_api.times import iso, parse, to_datetime, to_micros

MILLISECOND = timedelta(milliseconds=1)
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def now() -> datetime:
    """Return the current time in whole milliseconds."""
    moment = datetime.now(timezone.utc)
    return moment - timedelta(microseconds=moment.microsecond % 1000)


def text(moment: datetime) -> str:
    """Return a time in the format of the API."""
    return iso(to_micros(moment))


def moment(value: str) -> datetime:
    """Parse a timestamp of the API, the connector or a state; without an offset, it is in UTC."""
    return to_datetime(parse(value))

"""Conversions between microseconds since 1970, ISO text with an offset and ISO text without an offset."""

from datetime import datetime, timedelta, timezone

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MILLISECOND = 1_000
SECOND = 1_000_000
HOUR = 3_600 * SECOND
DAY = 24 * HOUR


def to_micros(moment: datetime) -> int:
    """Return the microseconds since 1970 of a datetime; a datetime without a zone counts as UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return (moment - _EPOCH) // timedelta(microseconds=1)


def to_datetime(micros: int) -> datetime:
    """Return the UTC datetime of microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=micros)


def iso(micros: int) -> str:
    """Return a text such as `2024-05-06T07:08:09.010000+00:00`; the fraction is omitted if it is zero."""
    return to_datetime(micros).isoformat()


def iso_naive(micros: int) -> str:
    """Return the text of `iso` without the offset, which is how the event log writes its own stamps."""
    return to_datetime(micros).replace(tzinfo=None).isoformat()


def parse(text: str) -> int:
    """Return the microseconds since 1970 of an ISO date or date-time; raise ValueError for any other text."""
    # Python 3.10 does not accept `Z`.
    return to_micros(datetime.fromisoformat(text.replace("Z", "+00:00")))

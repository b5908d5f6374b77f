"""Windows of time: the unit in which a stream is handed out, read and checkpointed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

Row = dict[str, Any]

MILLISECOND = timedelta(milliseconds=1)
SECOND = timedelta(seconds=1)


def utc_now() -> datetime:
    """The present moment in UTC, cut to milliseconds, the finest unit that Close keeps."""
    return floor_to_millisecond(datetime.now(timezone.utc))


def floor_to_millisecond(moment: datetime) -> datetime:
    """``moment`` without what lies below a millisecond."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def floor_to_second(moment: datetime) -> datetime:
    """``moment`` without what lies below a second."""
    return moment.replace(microsecond=0)


def parse_moment(text: str) -> datetime:
    """Read a date-time or date as Close or a saved state writes it; no zone means UTC.

    Examples: ``2024-05-06T07:08:09.010000+00:00``, ``2016-10-19T12:22:10.434000``, ``2024-05-06T07:08:09Z``.

    Raises:
        ValueError: the text is no date-time.
    """
    if text.endswith(("Z", "z")):  # datetime.fromisoformat reads it only from Python 3.11 on
        text = text[:-1] + "+00:00"
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        return moment.replace(tzinfo=timezone.utc)
    try:
        return moment.astimezone(timezone.utc)
    except OverflowError as error:  # the first or the last hours there are, in another zone
        raise ValueError(f"{text} is out of range") from error


def format_moment(moment: datetime) -> str:
    """Write ``moment`` as Close does: UTC with offset, six digits of which three matter."""
    return moment.astimezone(timezone.utc).isoformat(timespec="microseconds")


def moment_of(row: Mapping[str, Any], cursor_field: str) -> datetime | None:
    """The cursor value of ``row`` in UTC, or None where it is missing or no date-time."""
    value = row.get(cursor_field)
    if not isinstance(value, str):
        return None
    try:
        return parse_moment(value)
    except ValueError:
        return None


@dataclass(frozen=True)
class Window:
    """The records of one partition stamped in ``[start, end)``; both bounds in UTC.

    ``head`` holds ids that an earlier reader of a wider window has already emitted, in the API's order: they are the
    first rows of this window too, since a filter keeps the order of what it lets through.
    ``share_after`` is the number of rows after which its reader looks whether to share the rest with another worker;
    None leaves that to the reader. ``newest_first`` is the order that the list seems to have, None if nobody knows.
    """

    start: datetime
    end: datetime
    partition: Mapping[str, Any] = field(default_factory=dict, hash=False)
    head: tuple[tuple[str, datetime | None], ...] = field(default=(), hash=False, compare=False, repr=False)
    share_after: int | None = field(default=None, hash=False, compare=False)
    newest_first: bool | None = field(default=None, hash=False, compare=False)

    def contains(self, moment: datetime) -> bool:
        """Whether ``moment`` lies in the window."""
        return self.start <= moment < self.end


def subtract(window: Window, intervals: Iterable[tuple[datetime, datetime]]) -> list[Window]:
    """What is left of ``window`` when the half-open ``intervals`` are taken out, oldest first."""
    left: list[Window] = []
    start = window.start
    for taken_start, taken_end in sorted(intervals):
        if taken_end <= start:
            continue
        if taken_start >= window.end:
            break
        if taken_start > start:
            left.append(Window(start, taken_start, window.partition))
        start = max(start, taken_end)
    if start < window.end:
        left.append(Window(start, window.end, window.partition))
    return left


def gaps(start: datetime, end: datetime, windows: Sequence[Window]) -> list[tuple[datetime, datetime]]:
    """The half-open intervals of ``[start, end)`` that no one of ``windows`` covers, oldest first."""
    whole = Window(start, end)
    return [(left.start, left.end) for left in subtract(whole, [(w.start, w.end) for w in windows])]

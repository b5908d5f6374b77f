"""What a question of the probe is, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from integration_tests.probe.account import Account, Row
from integration_tests.truth import moment as parsed

NOT_SEEN = "not seen"


@dataclass(frozen=True)
class Finding:
    """What was seen, and whether the connector copes: `yes`, `no`, or how; `not seen` if nothing was there."""

    saw: str
    copes: str = "yes"


def unseen(why: str) -> Finding:
    """There was nothing in the account to tell by."""
    return Finding(why, NOT_SEEN)


@dataclass(frozen=True)
class Question:
    """A question, and how to ask it."""

    text: str
    ask: Callable[[Account], Finding]


def moment_of(row: Row, name: str) -> datetime | None:
    """The value of a date field of a row, or None where it is missing or no date-time."""
    try:
        return parsed(row[name]) if row.get(name) else None
    except ValueError:
        return None


def order_of(rows: Sequence[Row]) -> str:
    """By which date rows are sorted, as far as they tell."""
    for name in ("date_created", "date_updated"):
        stamps = [moment for row in rows if (moment := moment_of(row, name)) is not None]
        if len(set(stamps)) > 1:
            if stamps == sorted(stamps, reverse=True):
                return f"newest {name} first"
            if stamps == sorted(stamps):
                return f"oldest {name} first"
    return "by neither date"


def with_fraction(rows: Iterable[Row], cursor_field: str) -> datetime | None:
    """A moment among the rows that is not on a whole second, nor on the millisecond before or after one."""
    moments = (moment_of(row, cursor_field) for row in rows)
    return next((one for one in moments if one is not None and 1_000 < one.microsecond < 998_000), None)


def ids(rows: Iterable[Row]) -> list[str]:
    """The ids of rows, in order."""
    return [row["id"] for row in rows]

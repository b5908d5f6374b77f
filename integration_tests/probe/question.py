"""A question of the probe and its finding."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from integration_tests.harness.moments import moment as parsed
from integration_tests.probe.account import Account, Row

NOT_SEEN = "not seen"


@dataclass(frozen=True)
class Finding:
    """What the probe saw, and whether the connector copes with it.

    `copes` begins with `yes`, `no` or `only`, or is `not seen` if the account has no suitable data.
    """

    saw: str
    copes: str = "yes"


def unseen(why: str) -> Finding:
    """Return the finding for an account without suitable data."""
    return Finding(why, NOT_SEEN)


@dataclass(frozen=True)
class Question:
    """A question and the function that asks it."""

    text: str
    ask: Callable[[Account], Finding]


def moment_of(row: Row, name: str) -> datetime | None:
    """Return the value of a date field of a row; None if it is missing or not a date-time."""
    try:
        return parsed(row[name]) if row.get(name) else None
    except ValueError:
        return None


def order_of(rows: Sequence[Row]) -> str:
    """Return the date by which the rows are sorted, as far as the rows show it."""
    for name in ("date_created", "date_updated"):
        stamps = [moment for row in rows if (moment := moment_of(row, name)) is not None]
        if len(set(stamps)) > 1:
            if stamps == sorted(stamps, reverse=True):
                return f"newest {name} first"
            if stamps == sorted(stamps):
                return f"oldest {name} first"
    return "sorted by neither date"


def with_fraction(rows: Iterable[Row], cursor_field: str) -> datetime | None:
    """Return a cursor value of the rows that is not within a millisecond of a whole second, or None."""
    moments = (moment_of(row, cursor_field) for row in rows)
    return next((one for one in moments if one is not None and 1_000 < one.microsecond < 998_000), None)


def ids(rows: Iterable[Row]) -> list[str]:
    """Return the ids of the rows, in their order."""
    return [row["id"] for row in rows]

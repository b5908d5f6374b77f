"""A question of the probe and its finding."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from integration_tests.harness.moments import MILLISECOND, SECOND, text
from integration_tests.harness.moments import moment as parsed
from integration_tests.probe.account import Account, Answer, Row

NOT_SEEN = "not seen"


@dataclass(frozen=True)
class Finding:
    """What the probe saw, and whether the connector copes with it.

    `copes` begins with `yes`, `no` or `only`, or is `not seen` if the account has no suitable data.
    """

    saw: str
    copes: str = "yes"

    @property
    def verdict(self) -> str:
        """Return the first word of `copes`."""
        return re.split(r"\W", self.copes)[0]


def unseen(why: str) -> Finding:
    """Return the finding for an account without suitable data."""
    return Finding(why, NOT_SEEN)


@dataclass(frozen=True)
class Question:
    text: str
    ask: Callable[[Account], Finding]


def moment_of(row: Row, name: str) -> datetime | None:
    """Return the value of a date field of a row; None if it is missing or not a date-time."""
    try:
        return parsed(row[name]) if row.get(name) else None
    except ValueError:
        return None


def moments_of(rows: Iterable[Row], name: str) -> list[datetime]:
    """Return the values of a date field of the rows that have one, in their order."""
    moments = [moment_of(row, name) for row in rows]
    return [moment for moment in moments if moment is not None]


def order_of(rows: Sequence[Row]) -> str:
    """Return the date by which the rows are sorted, as far as the rows show it."""
    for name in ("date_created", "date_updated"):
        stamps = moments_of(rows, name)
        if len(set(stamps)) > 1:
            if stamps == sorted(stamps, reverse=True):
                return f"newest {name} first"
            if stamps == sorted(stamps):
                return f"oldest {name} first"
    return "sorted by neither date"


def precision(rows: Sequence[Row], name: str, between: Callable[[str, str], Answer], if_coarse: str) -> Finding:
    """Return the precision of the filter `between` by a date field; `if_coarse` says why whole seconds would do."""
    # Moments that are not within a millisecond of a whole second.
    suitable = [moment for moment in moments_of(rows, name) if 1_000 < moment.microsecond < 998_000]
    if not suitable:
        return unseen(f"no record whose {name} has a fraction of a second")
    moment = suitable[0]
    wanted = {row["id"] for row in rows if moment_of(row, name) == moment}
    bounds = [text(one) for one in (moment - SECOND, moment, moment + MILLISECOND, moment + SECOND)]
    before, at, after = (set(ids(between(start, end).rows)) for start, end in pairwise(bounds))
    if wanted <= at and not wanted & (before | after):
        return Finding("to the millisecond; the start is inclusive, the end is exclusive")
    if wanted <= before | at | after:
        return Finding("only whole seconds count", if_coarse)
    return Finding("a range around a record does not return it", "no: the record could be missed")


def ids(rows: Iterable[Row]) -> list[str]:
    return [row["id"] for row in rows]

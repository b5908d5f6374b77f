"""Questions about the event log."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from integration_tests.harness.moments import MILLISECOND, now, text
from integration_tests.probe.account import Account, Answer, Row
from integration_tests.probe.question import Finding, Question, ids, moment_of, moments_of, precision, unseen

_STAMP = "date_updated"
_FEW = 5
_OVERLAP = "the second page repeats rows of the first page"


def questions(account: Account) -> Iterator[Question]:
    yield Question("/event/: may date_updated be the only filter, and are events newest first?", _plain)
    yield Question("/event/: how many rows can a page have?", _page_size)
    yield Question("/event/: does the filter by date_updated have millisecond precision?", _precision)
    yield Question("/event/: does a cursor keep the bounds of the first page?", partial(_cursor, repeated=False))
    yield Question("/event/: is a date filter honoured together with a cursor?", partial(_cursor, repeated=True))
    yield Question("/event/: how is an invalid cursor rejected?", _bad_cursor)
    yield Question("/event/: does it contain events older than 30 days?", _retention)
    yield Question("/event/: do events older than an hour contain `data`?", _data)


def _plain(account: Account) -> Finding:
    rows = _rows(account)
    if len(rows) < 2:
        return unseen("fewer than two events")
    stamps = moments_of(rows, _STAMP)
    if stamps == sorted(stamps, reverse=True):
        return Finding("yes, newest first")
    return Finding("events are not in order", "only within a few minutes: events further out of order may be missed")


def _page_size(account: Account) -> Finding:
    answer = account.get("event/", _limit=200)
    saw = answer.quote if answer.is_refusal else f"{len(answer.rows)} of 200 requested"
    return Finding(saw, "yes: it requests 50")


def _precision(account: Account) -> Finding:
    def between(start: str, end: str) -> Answer:
        return account.get("event/", _limit=50, date_updated__gte=start, date_updated__lt=end)

    return precision(_rows(account), _STAMP, between, "yes: it deduplicates events by their ids")


def _cursor(account: Account, *, repeated: bool) -> Finding:
    """Read two pages of events that are newer than others; `repeated` sends the bounds again with the cursor."""
    rows = _rows(account)
    if len(rows) < 3 * _FEW:
        return unseen(f"fewer than {3 * _FEW} events")
    oldest = moment_of(rows[2 * _FEW], _STAMP)
    start = moment_of(rows[_FEW + 1], _STAMP)
    end = moment_of(rows[0], _STAMP)
    if oldest is None or start is None or end is None or not oldest < start < end:
        return unseen("the latest events have the same date_updated")
    bounds: dict[str, Any] = {"date_updated__gte": text(start), "date_updated__lt": text(end + MILLISECOND)}
    first = account.get("event/", _limit=_FEW, **bounds)
    cursor = first.body.get("cursor_next")
    if not cursor:
        return unseen("no cursor after the first page")
    second = account.get("event/", _limit=_FEW, _cursor=cursor, **(bounds if repeated else {}))
    if repeated:
        return Finding(_filter_with_cursor(first, second, start), "yes: it sends no date filter with a cursor")
    return _cursor_alone(first, second, start)


def _filter_with_cursor(first: Answer, second: Answer, start: datetime) -> str:
    """Return what a date filter does together with a cursor."""
    if second.is_refusal:
        return second.quote
    if _overlap(first, second):
        return _OVERLAP
    return "honoured" if _is_within(second, start) else "ignored: older events are returned"


def _cursor_alone(first: Answer, second: Answer, start: datetime) -> Finding:
    """Return whether a cursor keeps the bounds of its first page."""
    if second.is_refusal:
        return Finding(second.quote, "no: it could read only one page")
    if _overlap(first, second):
        return Finding(_OVERLAP, "no: the read would not end")
    if _is_within(second, start):
        return Finding("yes")
    return Finding("no: older events are returned", "yes: it stops at its own lower bound")


def _overlap(first: Answer, second: Answer) -> bool:
    return not set(ids(first.rows)).isdisjoint(ids(second.rows))


def _is_within(page: Answer, start: datetime) -> bool:
    """Return whether no event of a page is older than `start`."""
    return all(moment >= start for moment in moments_of(page.rows, _STAMP))


def _bad_cursor(account: Account) -> Finding:
    answer = account.get("event/", _limit=1, _cursor="none")
    saw = answer.quote if answer.is_refusal else "not at all: it is ignored"
    return Finding(saw, "yes, unless a cursor expires while it reads a day")


def _retention(account: Account) -> Finding:
    before = text(now() - timedelta(days=31))
    answer = account.get("event/", _limit=1, date_updated__lt=before)
    if answer.is_refusal:
        return Finding(answer.quote, "yes: it never requests more than 30 days")
    if answer.rows:
        return Finding("yes: there are older events", "yes: it does not read the older events")
    return Finding("no", "yes: it reads 30 days")


def _data(account: Account) -> Finding:
    before = text(now() - timedelta(hours=2))
    rows = [row for row in account.get("event/", _limit=50, date_updated__lt=before).rows if row["action"] != "deleted"]
    if not rows:
        return unseen("no event older than two hours, except deletions")
    shown = sum(bool(row.get("data")) for row in rows)
    return Finding(f"{shown} of {len(rows)} do", "yes" if shown else "yes: it reads changed records again by id")


def _rows(account: Account) -> list[Row]:
    end = now()
    bounds: dict[str, Any] = {"date_updated__gte": text(end - timedelta(days=29)), "date_updated__lt": text(end)}
    return account.get("event/", _limit=50, **bounds).rows

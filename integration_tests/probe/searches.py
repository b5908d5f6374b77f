"""Questions about `POST /data/search/`, with which the connector finds leads."""

from collections.abc import Iterator
from typing import Any

from integration_tests.harness.moments import DAY, now, text
from integration_tests.probe.account import Account, Answer, Row
from integration_tests.probe.question import Finding, Question, ids, moment_of, moments_of, order_of, precision, unseen

_PAGE = 200
_FIELD = {"type": "regular_field", "object_type": "lead", "field_name": "date_updated"}
_SORTED: dict[str, Any] = {"sort": [{"direction": "asc", "field": _FIELD}]}
_STAMPS = {"lead": ["id", "date_created", "date_updated"]}


def questions(account: Account) -> Iterator[Question]:
    yield Question("search: does a page have 200 rows, oldest date_updated first?", _page)
    yield Question("search: does a range of date_updated have millisecond precision?", _bounds)
    yield Question("search: does a search from the last lead of a page begin with that lead?", _next_page)
    yield Question("search: how is an invalid cursor rejected?", _bad_cursor)
    yield Question(f"search: what is returned after {account.rows_per_chain:,} rows?", _past_the_end)


def _page(account: Account) -> Finding:
    rows = _leads(account)
    if len(rows) < 2:
        return unseen("fewer than two leads")
    stamps = moments_of(rows, "date_updated")
    if len(stamps) == len(rows) and stamps == sorted(stamps):
        return Finding(f"{len(rows)} rows, oldest date_updated first")
    return Finding(f"{len(rows)} rows, {order_of(rows)}", "yes: it goes on by cursor")


def _bounds(account: Account) -> Finding:
    def between(start: str, end: str) -> Answer:
        return account.search(_range(start, end), **_SORTED, _fields=_STAMPS, _limit=_PAGE)

    return precision(_leads(account), "date_updated", between, "yes: it deduplicates leads by their ids")


def _next_page(account: Account) -> Finding:
    rows = _leads(account)
    last = moment_of(rows[-1], "date_updated") if rows else None
    if last is None:
        return unseen("no lead with a date_updated")
    following = account.search(_range(text(last), text(now() + DAY)), **_SORTED, _fields=_STAMPS, _limit=1).rows
    if set(ids(following)) & set(ids(rows)):
        return Finding("yes")
    copes = "yes: it searches from an earlier moment, or goes on by cursor"
    return Finding("no; the lead may have been edited in between", copes)


def _bad_cursor(account: Account) -> Finding:
    answer = account.search(_limit=1, cursor="none")
    if not answer.is_refusal:
        return Finding("not at all: it is ignored", "yes, unless a page of leads has one date_updated")
    is_known = answer.status == 400 and "cursor" in answer.raw
    return Finding(answer.quote, "yes: it searches again" if is_known else "no: the stream would fail")


def _past_the_end(account: Account) -> Finding:
    copes = "yes: each page is a search of its own"
    body: dict[str, Any] = {**_SORTED, "_fields": {"lead": ["id"]}}
    limit = min(_PAGE, account.rows_per_chain)
    given = 0
    while given < account.rows_per_chain:
        answer = account.search(**body, _limit=limit)
        if answer.is_refusal:
            return Finding(f"after {given:,} rows: {answer.quote}", copes)
        given += len(answer.rows)
        body["cursor"] = answer.body.get("cursor")
        if not body["cursor"]:
            break
    if given < account.rows_per_chain:
        return unseen(f"the account has only {given:,} leads")
    if not body["cursor"]:
        return Finding(f"no cursor after {given:,} rows", copes)
    answer = account.search(**body, _limit=1)
    what = answer.quote if answer.is_refusal else f"{len(answer.rows)} more rows"
    return Finding(f"a cursor; with it: {what}", copes)


def _leads(account: Account) -> list[Row]:
    return account.search(**_SORTED, _fields=_STAMPS, _limit=_PAGE).rows


def _range(start: str, end: str) -> Row:
    bounds = {"on_or_after": start, "before": end}
    moments = {bound: {"type": "fixed_utc", "value": moment} for bound, moment in bounds.items()}
    return {"type": "field_condition", "field": _FIELD, "condition": {"type": "moment_range", **moments}}

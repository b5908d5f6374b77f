"""Questions about the lists that have offsets: activities, tasks, leads, users."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Any

from integration_tests.probe.account import Account
from integration_tests.probe.question import Finding, Question, ids, moment_of, order_of, unseen, with_fraction
from integration_tests.truth import MILLISECOND, SECOND, now, text

_FAR = 10_000_000
_WHOLE_LIST = 1_000
_LISTS = ("activity/", "activity/note/", "task/", "user/", "custom_field/lead/", "lead/")
_READ_IN_PAGES = ("activity/", "task/", "user/", "lead/")
_ALL_TASKS: dict[str, Any] = {"_type": "all"}
_STAMPS = "id,date_created,date_updated"
_LONG_AGO = "1990-01-01T00:00:00+00:00"


def questions(account: Account) -> Iterator[Question]:
    """All of them."""
    for path in _LISTS:
        yield Question(f"/{path}: how far does _skip go, and how is too much refused?", partial(_skip_cap, path=path))
    for path in _READ_IN_PAGES:
        yield Question(f"/{path}: in which order do rows come, and does it stay?", partial(_order, path=path))
    for path, name in (("activity/", "date_created"), ("task/", "date_updated")):
        yield Question(f"/{path}: is the filter by {name} honoured?", partial(_filter, path=path, name=name))
        yield Question(
            f"/{path}: does the filter by {name} see milliseconds?", partial(_precision, path=path, name=name)
        )
    for path in ("user/", "custom_field/lead/"):
        yield Question(f"/{path}: may a page have 1,000 rows?", partial(_whole_list, path=path))
    for path in ("activity/", "task/", "lead/"):
        yield Question(f"/{path}: does id__in work by POST in place of GET?", partial(_ids_by_post, path=path))
    yield Question("/activity/: is lead_id__in honoured for several leads?", _several_leads)
    yield Question("/activity/: does every list by type answer?", _lists_by_type)
    yield Question("/activity/: which types does the whole list have?", _types_of_activities)
    yield Question("/activity/meeting/: is date_created the start of the meeting?", _meetings)
    yield Question("/task/: does _type=all bring more than the default?", _all_types)
    yield Question("/task/: do the nine types make up all tasks?", _task_types)
    yield Question("/lead/<id>/: is a lead that is not there a 404?", _missing)


def _skip_cap(account: Account, path: str) -> Finding:
    answer = account.get(path, may_refuse=True, _skip=_FAR, _limit=1, **_more(path))
    if not answer.is_refusal:
        return Finding(f"_skip={_FAR:,} is taken")
    wording = account.definitions["skip_cap_handler"]["accepted_errors"]["400"]
    if not re.search(wording, answer.raw, re.IGNORECASE | re.DOTALL):
        return Finding(answer.quote, "no: it does not know this wording and would stop at the cap")
    number = re.search(r"(?:max_skip\D*|equal to )(\d+)", answer.raw)
    if number is None:
        return Finding(answer.quote, "yes: windows are cut where it refuses")
    cap = int(number[1])
    at_cap = account.get(path, may_refuse=True, _skip=cap, _limit=1, **_more(path))
    taken = "taken" if not at_cap.is_refusal else "refused as well"
    return Finding(f"{answer.quote}; _skip={cap:,} is {taken}", "yes: windows are cut where it refuses")


def _order(account: Account, path: str) -> Finding:
    first, second = (account.get(path, _limit=100, _fields=_STAMPS, **_more(path)).rows for _ in range(2))
    if len(first) < 2:
        return unseen("fewer than two rows")
    is_stable = ids(first) == ids(second)
    order = order_of(first) + (", the same twice" if is_stable else ", another the second time")
    return Finding(order, "yes" if is_stable else "yes: it cuts windows smaller, or fails; it skips nothing silently")


def _filter(account: Account, path: str, name: str) -> Finding:
    rows = account.get(path, _limit=1, **_more(path), **_bounds(name, lt=_LONG_AGO)).rows
    if not rows:
        return Finding("nothing before 1990 comes: honoured")
    moment = moment_of(rows[0], name)
    if moment is not None and text(moment) < _LONG_AGO:
        return unseen("there are records from before 1990")
    return Finding("ignored: newer records come", "no: windows of time would all hold the whole list")


def _precision(account: Account, path: str, name: str) -> Finding:
    rows = account.get(path, _limit=100, _fields=_STAMPS, **_more(path)).rows
    moment = with_fraction(rows, name)
    if moment is None:
        return unseen("no record with a fraction of a second")

    def between(start: datetime, end: datetime) -> set[str]:
        bounds = _bounds(name, gte=text(start), lt=text(end))
        return set(ids(account.get(path, _limit=100, _fields="id", **bounds, **_more(path)).rows))

    record_ids = {row["id"] for row in rows if moment_of(row, name) == moment}
    second = moment.replace(microsecond=0)
    if not record_ids <= between(second, second + SECOND):
        return Finding("the record's own second does not bring it", "no: whole seconds are its smallest windows")
    at = between(moment, moment + MILLISECOND)
    after = between(moment + MILLISECOND, second + SECOND)
    if record_ids <= at and not record_ids & after:
        return Finding("to the millisecond; gte includes, lt excludes")
    return Finding("only whole seconds count", "yes: it cuts windows at whole seconds")


def _whole_list(account: Account, path: str) -> Finding:
    answer = account.get(path, may_refuse=True, _limit=_WHOLE_LIST)
    if answer.is_refusal:
        return Finding(answer.quote, "no: the stream fails")
    if answer.body.get("has_more") and len(answer.rows) < _WHOLE_LIST:
        return Finding(f"{len(answer.rows)} rows, and more to come", "no: it takes a short page for the last one")
    return Finding(f"yes: {len(answer.rows)} rows come at once")


def _ids_by_post(account: Account, path: str) -> Finding:
    wanted = ids(account.get(path, _limit=100, _fields="id", **_more(path)).rows)[1:]
    if not wanted:
        return unseen("fewer than two rows")
    answer = account.by_post(path, may_refuse=True, id__in=",".join(wanted), _limit=100, _fields="id", **_more(path))
    if answer.is_refusal:
        return Finding(answer.quote, "no: late edits and deletions would fail the stream")
    got = set(ids(answer.rows))
    if got == set(wanted):
        return Finding(f"{len(wanted)} ids bring exactly these records")
    if got - set(wanted):
        return Finding("ignored: others come as well", "no: set capture_changes to false")
    missing = len(set(wanted) - got)
    return Finding(f"{missing} of {len(wanted)} are missing", "no, unless they were deleted just now")


def _several_leads(account: Account) -> Finding:
    rows = account.get("activity/", _limit=100, _fields="id,lead_id").rows
    lead_ids = list(dict.fromkeys(row["lead_id"] for row in rows if row.get("lead_id")))[:2]
    if len(lead_ids) < 2:
        return unseen("activities of fewer than two leads")
    answer = account.get("activity/", may_refuse=True, lead_id__in=",".join(lead_ids), _limit=100, _fields="id,lead_id")
    if answer.is_refusal:
        return Finding(answer.quote, "only in part: a second with more activities than the cap fails the stream")
    got = {row.get("lead_id") for row in answer.rows}
    if got == set(lead_ids):
        return Finding("honoured: both leads' activities come, no others")
    return Finding("not honoured", "only in part: a second with more activities than the cap fails the stream")


def _lists_by_type(account: Account) -> Finding:
    paths = [part["path"] for part in _narrowing(account, "activities")]
    refused = [path for path in paths if account.get(f"activity/{path}", may_refuse=True, _limit=1).is_refusal]
    if not refused:
        return Finding(f"all {len(paths)} do")
    return Finding(f"not: {', '.join(refused)}", "only in part: a second with more activities than the cap fails")


def _types_of_activities(account: Account) -> Finding:
    types = {str(row.get("_type")) for row in account.get("activity/", _limit=100, _fields="id,_type").rows}
    if not types:
        return unseen("no activities")
    threads = " EmailThread is among them." if "EmailThread" in types else " EmailThread is not."
    return Finding(f"among 100 rows: {', '.join(sorted(types))}.{threads}", "yes: a row is a row, whatever its type")


def _meetings(account: Account) -> Finding:
    rows = account.get("activity/meeting/", _limit=100, _fields="id,date_created,starts_at").rows
    if not rows:
        return unseen("no meetings")
    same = sum(moment_of(row, "date_created") == moment_of(row, "starts_at") for row in rows)
    ahead = sum((moment_of(row, "date_created") or now()) > now() for row in rows)
    return Finding(
        f"of {len(rows)}: {same} yes, {ahead} with a date_created in the future",
        "yes: a meeting ahead comes in the first sync after that date",
    )


def _all_types(account: Account) -> Finding:
    every, default = _total(account, _ALL_TASKS), _total(account, {})
    if not every:
        return unseen("no tasks, or no totals")
    copes = "yes" if every >= default else "no: _type=all brings fewer"
    return Finding(f"{every:,} with it, {default:,} without", copes)


def _task_types(account: Account) -> Finding:
    types = [part["parameters"] for part in _narrowing(account, "tasks")]
    every, *by_type = (_total(account, filters) for filters in (_ALL_TASKS, *types))
    if not every:
        return unseen("no tasks, or no totals")
    together = sum(by_type)
    copes = "yes" if every == together else "yes, but a second with more tasks than the cap might miss some"
    return Finding(f"{every:,} in all, {together:,} in the nine lists", copes)


def _total(account: Account, filters: dict[str, Any]) -> int:
    return int(account.get("task/", _limit=1, _fields="id", **filters).body.get("total_results") or 0)


def _missing(account: Account) -> Finding:
    answer = account.by_post("lead/lead_thisleadhasneverexisted/", may_refuse=True, _fields="id")
    copes = "yes" if answer.status == 404 else "no: a deleted lead could not be told from one that lives"
    return Finding(answer.quote if answer.is_refusal else "an answer with a body", copes)


def _bounds(name: str, **bounds: str) -> dict[str, Any]:
    return {f"{name}__{bound}": value for bound, value in bounds.items()}


def _more(path: str) -> dict[str, Any]:
    return _ALL_TASKS if path == "task/" else {}


def _narrowing(account: Account, stream: str) -> list[dict[str, Any]]:
    """The lists that the connector reads one by one where a second holds more than the whole list gives out."""
    parts: list[dict[str, Any]] = account.definitions[f"{stream}_stream"]["retriever"]["lists_by_type"]
    return parts

"""Questions about the lists with offsets: activities, tasks, leads and users."""

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

from airbyte_cdk.sources.declarative.interpolation.interpolated_boolean import InterpolatedBoolean

from integration_tests.harness.moments import now, text
from integration_tests.probe.account import Account, Answer
from integration_tests.probe.question import Finding, Question, ids, moment_of, order_of, precision, unseen

_FAR = 10_000_000
_WHOLE_LIST = 1_000
_IDS = 100
_LISTS = ("activity/", "task/", "user/", "custom_field/lead/", "lead/")
_READ_IN_PAGES = ("activity/", "task/", "user/", "lead/")
_ALL_TASKS: dict[str, Any] = {"_type": "all"}
_STAMPS = "id,date_created,date_updated"
_LONG_AGO = "1990-01-01T00:00:00+00:00"


def questions(account: Account) -> Iterator[Question]:
    for path in _LISTS:
        yield Question(f"/{path}: how far does _skip go, and how is more rejected?", partial(_skip_cap, path=path))
    for path in _READ_IN_PAGES:
        yield Question(f"/{path}: in which order are rows returned, and is it stable?", partial(_order, path=path))
    for path, name in (("activity/", "date_created"), ("task/", "date_updated")):
        yield Question(f"/{path}: is the filter by {name} honoured?", partial(_filter, path=path, name=name))
        ask = partial(_precision, path=path, name=name)
        yield Question(f"/{path}: does the filter by {name} have millisecond precision?", ask)
    for path in ("user/", "task/", "custom_field/lead/"):
        yield Question(f"/{path}: may a page have 1,000 rows?", partial(_whole_list, path=path))
    for path, limit in (("activity/", _IDS), ("task/", _IDS), ("lead/", _leads_at_once(account))):
        ask = partial(_ids_by_post, path=path, limit=limit)
        yield Question(f"/{path}: does id__in work in a POST that overrides GET?", ask)
    yield Question("/lead/: are all the columns returned that the connector requests?", _columns)
    yield Question("/lead/: does `custom` in _fields return keys custom.cf_…?", _custom_values)
    yield Question("/activity/: which types does the whole list contain?", _types_of_activities)
    yield Question("/activity/meeting/: is date_created the start of the meeting?", _meetings)
    yield Question("/task/: does _type=all return more tasks than the default?", _all_types)
    yield Question("/lead/<id>/: does a lead that does not exist return 404?", _missing)


def _skip_cap(account: Account, path: str) -> Finding:
    if path in {"activity/", "task/"}:
        copes = "yes: it reads smaller windows after this response"
    elif path == "lead/":
        copes = "yes: it reads leads by search"
    else:
        copes = "yes, up to so many rows: a longer list fails"
    answer = account.get(path, _skip=_FAR, _limit=1, **_more(path))
    if not answer.is_refusal:
        return Finding(f"_skip={_FAR:,} is accepted")
    error_handler = account.definitions["shared"]["offset_pages"]["requester"]["error_handler"]
    predicate = InterpolatedBoolean(error_handler["expected_error"]["predicate"], parameters={})
    if not predicate.eval({}, response=answer.raw):
        return Finding(answer.quote, "no: it does not recognize this wording and would stop at the cap")
    number = re.search(r"(?:max_skip\D*|equal to )(\d+)", answer.raw)
    if number is None:
        return Finding(answer.quote, copes)
    cap = int(number[1])
    at_cap = account.get(path, _skip=cap, _limit=1, **_more(path))
    outcome = "accepted" if not at_cap.is_refusal else "rejected as well"
    return Finding(f"{answer.quote}; _skip={cap:,} is {outcome}", copes)


def _order(account: Account, path: str) -> Finding:
    first, second = (account.get(path, _limit=100, _fields=_STAMPS, **_more(path)).rows for _ in range(2))
    if len(first) < 2:
        return unseen("fewer than two rows")
    is_stable = ids(first) == ids(second)
    order = order_of(first) + (", the same in two requests" if is_stable else ", different in the second request")
    return Finding(order, "yes" if is_stable else "yes: it reads a list again that seems to lack rows")


def _filter(account: Account, path: str, name: str) -> Finding:
    rows = account.get(path, _limit=1, **_more(path), **_bounds(name, lt=_LONG_AGO)).rows
    if not rows:
        return Finding("honoured: no record from before 1990 is returned")
    moment = moment_of(rows[0], name)
    if moment is not None and text(moment) < _LONG_AGO:
        return unseen("there are records from before 1990")
    return Finding("ignored: newer records are returned", "no: every time window would contain the whole list")


def _precision(account: Account, path: str, name: str) -> Finding:
    def between(start: str, end: str) -> Answer:
        return account.get(path, _limit=100, _fields="id", **_bounds(name, gte=start, lt=end), **_more(path))

    rows = account.get(path, _limit=100, _fields=_STAMPS, **_more(path)).rows
    return precision(rows, name, between, "yes: it splits windows at whole seconds")


def _whole_list(account: Account, path: str) -> Finding:
    answer = account.get(path, _limit=_WHOLE_LIST)
    if answer.is_refusal:
        return Finding(answer.quote, "yes: it reads pages of 100")
    if answer.body.get("has_more") and len(answer.rows) < _WHOLE_LIST:
        return Finding(f"{len(answer.rows)} rows, and has_more is true", "yes: its pages overlap")
    return Finding(f"yes: {len(answer.rows)} rows in one page")


def _ids_by_post(account: Account, path: str, limit: int) -> Finding:
    wanted = ids(account.get(path, _limit=limit, _fields="id", **_more(path)).rows)[1:]
    if not wanted:
        return unseen("fewer than two rows")
    answer = account.by_post(path, id__in=",".join(wanted), _limit=limit, _fields="id", **_more(path))
    need = "leads" if path == "lead/" else "late edits and deletions"
    if answer.is_refusal and limit > 1:
        fewer = _ids_by_post(account, path, limit // 2)
        return Finding(f"{answer.quote}; {fewer.saw}", fewer.copes)
    if answer.is_refusal:
        return Finding(answer.quote, f"no: {need} could not be read")
    got = set(ids(answer.rows))
    if got == set(wanted):
        return Finding(f"{len(wanted)} ids return exactly these records")
    if got - set(wanted):
        return Finding("ignored: other records are returned as well", f"no: {need} could not be read")
    missing = len(set(wanted) - got)
    return Finding(f"{missing} of {len(wanted)} are missing", "no, unless they have just been deleted")


def _leads_at_once(account: Account) -> int:
    number: int = account.lookups["leads_by_ids"]["ids_per_request"]
    return number


def _columns(account: Account) -> Finding:
    wanted: list[str] = account.lookups["lead_fields"].split(",")
    answer = account.by_post("lead/", _fields=",".join(wanted), _limit=_leads_at_once(account))
    if answer.is_refusal:
        return Finding(answer.quote, "no: leads could not be read")
    if not answer.rows:
        return unseen("no leads")
    absent = sorted(set(wanted).difference({"custom"}, *answer.rows))
    saw = f"{len(wanted)} requested; in no row: {', '.join(absent) or 'none'}"
    return Finding(saw, "only in part, if leads have values in these columns" if absent else "yes")


def _custom_values(account: Account) -> Finding:
    rows = account.by_post("lead/", _fields="id,custom", _limit=_leads_at_once(account)).rows
    flat = sum(any(name.startswith("custom.") for name in row) for row in rows)
    nested = sum(bool(row.get("custom")) for row in rows)
    if not flat and not nested:
        return unseen(f"no custom values among {len(rows)} leads")
    saw = f"of {len(rows)} leads: {flat} with custom.cf_… keys, {nested} with an object `custom`"
    return Finding(saw, "yes" if flat >= nested else "yes: it finds the fields by their names")


def _types_of_activities(account: Account) -> Finding:
    types = {str(row.get("_type")) for row in account.get("activity/", _limit=100, _fields="id,_type").rows}
    if not types:
        return unseen("no activities")
    threads = " EmailThread is among them." if "EmailThread" in types else " EmailThread is not."
    return Finding(f"among 100 rows: {', '.join(sorted(types))}.{threads}", "yes: it reads records of every type")


def _meetings(account: Account) -> Finding:
    rows = account.get("activity/meeting/", _limit=100, _fields="id,date_created,starts_at").rows
    if not rows:
        return unseen("no meetings")
    same = sum(moment_of(row, "date_created") == moment_of(row, "starts_at") for row in rows)
    ahead = sum((moment_of(row, "date_created") or now()) > now() for row in rows)
    return Finding(
        f"of {len(rows)}: {same} yes, {ahead} with a date_created in the future",
        "yes: the first sync after that date reads a future meeting",
    )


def _all_types(account: Account) -> Finding:
    every = _total(account, _ALL_TASKS)
    default = _total(account, {})
    if not every:
        return unseen("no tasks, or no totals")
    copes = "yes" if every >= default else "no: _type=all returns fewer tasks"
    return Finding(f"{every:,} tasks with it, {default:,} without it", copes)


def _total(account: Account, filters: dict[str, Any]) -> int:
    return int(account.get("task/", _limit=1, _fields="id", **filters).body.get("total_results") or 0)


def _missing(account: Account) -> Finding:
    answer = account.by_post("lead/lead_thisleadhasneverexisted/", _fields="id")
    copes = "yes" if answer.status == 404 else "no: it could not distinguish a deleted lead from an existing lead"
    return Finding(answer.quote if answer.is_refusal else "a response with a body", copes)


def _bounds(name: str, **bounds: str) -> dict[str, Any]:
    return {f"{name}__{bound}": value for bound, value in bounds.items()}


def _more(path: str) -> dict[str, Any]:
    return _ALL_TASKS if path == "task/" else {}

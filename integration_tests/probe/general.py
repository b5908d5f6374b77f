"""Questions about the key, the custom fields and the limits."""

from collections.abc import Iterator

from integration_tests.probe.account import Account, Answer
from integration_tests.probe.question import Finding, Question, unseen


def first_questions(account: Account) -> Iterator[Question]:
    """Yield the question that is asked first, because it shows whether Close accepts the key."""
    yield Question("/me/: is the key an administrator's?", _role)


def last_questions(account: Account) -> Iterator[Question]:
    """Yield the questions about custom fields, and those that the responses so far answer."""
    yield Question("/custom_field/…/: do the lists by object contain shared fields?", _shared_fields)
    yield Question("/custom_field/…/: do all six lists respond, and which have pages?", _field_lists)
    yield Question("all: is there a ratelimit header?", _rate_limit)
    yield Question("all: is the local clock ahead of Close's clock?", _clock)


def _role(account: Account) -> Finding:
    memberships = account.get("me/").body.get("memberships") or []
    if not memberships:
        return unseen("the response has no memberships")
    if any(membership.get("role_id") == "admin" for membership in memberships):
        return Finding("yes")
    return Finding("no", "yes: it does not read what this user may not see; older events have no `data`")


def _shared_fields(account: Account) -> Finding:
    shown = {kind: sum(bool(row.get("is_shared")) for row in _fields(account, kind).rows) for kind in _kinds(account)}
    if not shown.pop("shared"):
        return unseen("no shared fields")
    among = ", ".join(f"{count} in {kind}" for kind, count in shown.items() if count)
    return Finding(among or "no", "yes: a shared field is one record with the object type `shared`")


def _field_lists(account: Account) -> Finding:
    answers = {kind: _fields(account, kind) for kind in _kinds(account)}
    refused = [f"{kind} {answer.quote}" for kind, answer in answers.items() if answer.is_refusal]
    if refused:
        return Finding("; ".join(refused), "no: the stream custom_fields fails")
    unpaged = [kind for kind, answer in answers.items() if "has_more" not in answer.body]
    return Finding(f"all six respond; without pages: {', '.join(unpaged) or 'none'}")


def _rate_limit(account: Account) -> Finding:
    without = account.rate_limits[""]
    limits = ", ".join(sorted(limit for limit in account.rate_limits if limit))
    if not limits:
        return Finding(f"on none of {account.requests} responses", "yes: it learns its pace from 429 responses")
    told = account.requests - without
    return Finding(f"on {told} of {account.requests} responses: {limits}", "yes: it spreads the remaining requests")


def _clock(account: Account) -> Finding:
    if account.clock_lead is None:
        return unseen("no response had a date header")
    seconds = account.clock_lead.total_seconds()
    if seconds < 2:
        return Finding("no, or by less than two seconds")
    copes = "yes: the next sync looks back far enough" if seconds <= 300 else "no: set this machine's clock"
    return Finding(f"by {seconds:.0f} s", copes)


def _fields(account: Account, kind: str) -> Answer:
    """Return a page of a list of custom fields, or the whole list if it refuses pages."""
    path = f"custom_field/{kind}/"
    answer = account.get(path, _limit=100, _skip=0)
    return account.get(path) if answer.is_refusal else answer


def _kinds(account: Account) -> list[str]:
    """Return the names of the custom field lists, one for each kind of object."""
    kinds: list[str] = account.lookups["custom_field_lists"]["retriever"]["partition_router"]["values"]
    return kinds

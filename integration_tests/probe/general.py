"""Questions about the key, the custom fields and the limits."""

from __future__ import annotations

from collections.abc import Iterator

from integration_tests.probe.account import Account
from integration_tests.probe.question import Finding, Question, unseen


def first_questions(account: Account) -> Iterator[Question]:
    """Those that come before all others: without an accepted key there is nothing to ask."""
    yield Question("/me/: is the key an administrator's?", _role)


def last_questions(account: Account) -> Iterator[Question]:
    """Those about custom fields, and those that all requests so far answer."""
    yield Question("/custom_field/…/: do the lists by object show shared fields?", _shared_fields)
    yield Question("/custom_field/…/: do all six lists answer, and which have pages?", _field_lists)
    yield Question("all: is there a ratelimit header?", _rate_limit)
    yield Question("all: is this machine's clock ahead of Close's?", _clock)


def _role(account: Account) -> Finding:
    memberships = account.get("me/").body.get("memberships") or []
    if not memberships:
        return unseen("no memberships in the answer")
    if any(membership.get("role_id") == "admin" for membership in memberships):
        return Finding("yes")
    return Finding("no", "yes: what this user may not see does not come, and older events come without the object")


def _shared_fields(account: Account) -> Finding:
    shown = {
        kind: sum(bool(row.get("is_shared")) for row in account.get(f"custom_field/{kind}/", _limit=100).rows)
        for kind in _kinds(account)
    }
    if not shown.pop("shared"):
        return unseen("no shared fields")
    among = ", ".join(f"{count} in {kind}" for kind, count in shown.items() if count)
    return Finding(among or "no", "yes: a shared field is one row, of the object type shared")


def _field_lists(account: Account) -> Finding:
    answers = {
        kind: account.get(f"custom_field/{kind}/", may_refuse=True, _limit=1, _skip=0) for kind in _kinds(account)
    }
    refused = [f"{kind} {answer.quote}" for kind, answer in answers.items() if answer.is_refusal]
    if refused:
        return Finding("; ".join(refused), "no: the stream custom_fields fails")
    unpaged = [kind for kind, answer in answers.items() if "has_more" not in answer.body]
    return Finding(f"all six; without pages: {', '.join(unpaged) or 'none'}")


def _rate_limit(account: Account) -> Finding:
    without = account.rate_limits[""]
    limits = ", ".join(sorted(limit for limit in account.rate_limits if limit))
    if not limits:
        return Finding(f"on none of {account.requests} answers", "yes: it finds the pace by trying")
    told = account.requests - without
    return Finding(f"on {told} of {account.requests} answers: {limits}", "yes: it shares out what remains")


def _clock(account: Account) -> Finding:
    if account.clock_lead is None:
        return unseen("no answer had a date")
    seconds = account.clock_lead.total_seconds()
    if seconds < 2:
        return Finding("no, or by less than two seconds")
    return Finding(f"by {seconds:.0f} s", "yes: it takes that into account for the event log")


def _kinds(account: Account) -> list[str]:
    """The lists of custom fields, one for each kind of object."""
    fields = account.definitions["custom_field_lists_stream"]
    kinds: list[str] = fields["retriever"]["partition_router"]["values"]
    return kinds

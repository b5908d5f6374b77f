"""Helpers that the lists share to select their rows."""

from collections.abc import Callable

from .call import Call
from .records import Record
from .settings import ListOrder

ORDERS: dict[ListOrder, str] = {
    "newest": "-created",
    "oldest": "created",
    "id": "id",
    "inserted": "inserted",
    "date_updated": "updated",
}

Test = Callable[[Record], bool]


def all_of(tests: list[Test]) -> Test | None:
    """Combine several tests into one; return None if there are no tests."""
    if not tests:
        return None
    return lambda record: all(test(record) for test in tests)


def visible(call: Call, tests: list[Test]) -> frozenset[str]:
    """Add a test that excludes the leads that the role may not see; return the ids of these leads."""
    hidden = frozenset(call.settings.hidden_lead_ids)
    if hidden:
        tests.append(lambda record: not call.store.is_hidden(record))
    return hidden


def query_name(call: Call, hidden: frozenset[str]) -> object:
    """Return a name that identifies the selection of this call: everything except paging and `_fields`."""
    paging = {"_skip", "_limit", "_fields"}
    return (
        call.path,
        call.tz_offset_hours,
        hidden,
        frozenset((k, v) for k, v in call.query.items() if k not in paging),
    )


def field_test(name: str, wanted: tuple[str, ...]) -> Test:
    """Return a test of whether a field has one of these values."""
    values = frozenset(wanted)
    return lambda record: record.data().get(name) in values

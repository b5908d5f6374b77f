"""`GET /task/`."""

from starlette.responses import Response

from .call import Call
from .records import Query, Record
from .selecting import ORDERS, visible


def tasks(call: Call) -> Response:
    """Handle `GET /task/`; without `_type` the list contains only tasks of type `lead`."""
    wanted = frozenset(call.values("_type") or ("lead",))
    hidden, is_visible = visible(call)

    def is_wanted(record: Record) -> bool:
        has_type = "all" in wanted or record.type in wanted
        return has_type and (is_visible is None or is_visible(record))

    query = Query(
        order=ORDERS[call.settings.task_order],
        updated=call.window("date_updated"),
        ids=call.values("id__in"),
        name=(wanted, hidden),
        where=None if "all" in wanted and is_visible is None else is_wanted,
    )
    return call.page(call.store.collections["task"].select(query), "task", with_total=True)

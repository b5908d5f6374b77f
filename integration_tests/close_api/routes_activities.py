"""`GET /activity/` and the lists by type."""

from starlette.responses import Response

from .call import Call
from .records import Query
from .selecting import ORDERS, visible


def activities(call: Call, path: str | None = None) -> Response:
    """Handle `GET /activity/`, or the list of one type if `path` names it."""
    hidden, where = visible(call)
    query = Query(
        order=ORDERS[call.settings.activity_order],
        created=call.window("date_created"),
        ids=call.values("id__in"),
        name=hidden,
        where=where,
    )
    name = "activity" if path is None else f"activity/{path}"
    return call.page(call.store.collections[name].select(query), "activity")

"""The lists of leads and users, the owner of the key, and single objects."""

from starlette.responses import Response

from .call import Call
from .errors import json_response, plain
from .make_users import profile
from .records import Query
from .selecting import ORDERS, visible


def users(call: Call) -> Response:
    """Handle `GET /user/`."""
    query = Query(order=ORDERS[call.settings.user_order])
    return call.page(call.store.collections["user"].select(query), "user")


def leads(call: Call) -> Response:
    """Handle `GET /lead/`; the parameter `query` is ignored."""
    hidden, where = visible(call)
    query = Query(order=ORDERS[call.settings.lead_order], ids=call.values("id__in"), name=hidden, where=where)
    return call.page(call.store.leads.visible.select(query), "lead", with_total=True)


def me(call: Call) -> Response:
    """Handle `GET /me/`: the owner of the key."""
    store = call.store
    owner = store.objects.get(store.factory.world.me.id)
    if owner is None:
        raise plain(404, "Empty query: No user found")
    return json_response(profile(owner.data(), "admin" if call.settings.admin else "user"))


def single(kinds: frozenset[str], call: Call, object_id: str) -> Response:
    """Handle `GET /<resource>/<id>/` for an object of one of these kinds."""
    record = call.store.objects.get(object_id)
    return call.single(record if record is not None and record.kind in kinds else None)

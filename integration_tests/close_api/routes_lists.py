"""The lists of leads and users, the owner of the key, and single objects."""

from collections.abc import Callable

from starlette.responses import Response

from .call import Call, trimmed
from .errors import json_response, plain
from .make_users import profile
from .records import Query, Record
from .selecting import ORDERS, Test, all_of, visible


def users(call: Call) -> Response:
    """Handle `GET /user/`."""
    arrange = None
    names = call.value("_order_by")
    if names in {"last_name,first_name", "first_name,last_name"}:
        arrange = _by_fields(names.split(","))
    query = Query(order=ORDERS[call.settings.user_order], name=names if arrange else None, arrange=arrange)
    return call.page(call.store.collections["user"].select(query), "user")


def _by_fields(names: list[str]) -> Callable[[list[Record]], list[Record]]:
    def key(record: Record) -> list[str]:
        data = record.data()
        return [data[name] for name in names]

    return lambda records: sorted(records, key=key)


def leads(call: Call) -> Response:
    """Handle `GET /lead/`; the parameter `query` is ignored."""
    tests: list[Test] = []
    hidden = visible(call, tests)
    query = Query(
        order=ORDERS[call.settings.lead_order], ids=call.values("id__in"), name=hidden or None, where=all_of(tests)
    )
    return call.page(call.store.leads.visible.select(query), "lead", with_total=True)


def me(call: Call) -> Response:
    """Handle `GET /me/`: the owner of the key."""
    store = call.store
    owner = store.objects.get(store.factory.world.me.id)
    if owner is None:
        raise plain(404, "Empty query: No user found")
    role_id = "admin" if call.settings.admin else "user"
    data = profile(store.factory.world, owner.data(), role_id)
    fields = call.fields()
    return json_response(data if fields is None else trimmed(data, fields))


def single(kinds: frozenset[str], call: Call, object_id: str) -> Response:
    """Handle `GET /<resource>/<id>/` for an object of one of these kinds."""
    record = call.store.objects.get(object_id)
    return call.single(record if record is not None and record.kind in kinds else None)

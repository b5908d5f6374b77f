"""The lists that are paged by offset, the owner of the key, and single objects."""

from collections.abc import Callable

from starlette.responses import Response

from .call import Call
from .errors import json_response, plain
from .kinds import CUSTOM_FIELD_OBJECTS
from .records import OPEN, Collection, Query, Record, Window

_ORDERS = {"newest": "-created", "oldest": "created", "id": "id", "inserted": "inserted", "date_updated": "updated"}
_ORDERS_BY = {"date_created": "created", "-date_created": "-created"}
_UNPAGED = {"custom_object_type", "shared"}


def _listed(
    call: Call,
    rows: Collection,
    resource: str,
    types: frozenset[str] | None = None,
    created: Window = OPEN,
    updated: Window = OPEN,
) -> Response:
    """Return a page of the rows of these types (None: all types) whose stamps are in the windows."""
    hidden, where = call.visible()
    if types is not None:
        where = _of_types(call, types)
    order = _ORDERS[getattr(call.settings, f"{resource}_order")]
    if resource == "task" and call.settings.task_order_by == "honour":
        order = _ORDERS_BY.get(call.value("_order_by") or "", order)
    query = Query(order, created, updated, call.values("id__in"), name=(types, hidden), where=where)
    return call.page(rows.select(query), resource, with_total=resource in {"lead", "task"})


def _of_types(call: Call, types: frozenset[str]) -> Callable[[Record], bool]:
    return lambda record: record.type in types and call.store.is_visible(record)


def activities(call: Call, path: str | None = None) -> Response:
    """Handle `GET /activity/`, or the list of one type if `path` names it."""
    name = "activity" if path is None else f"activity/{path}"
    return _listed(call, call.store.collections[name], "activity", created=call.window("date_created"))


def tasks(call: Call) -> Response:
    """Handle `GET /task/`; without `_type` the list contains only tasks of type `lead`."""
    wanted = frozenset(call.values("_type") or ("lead",))
    types = None if "all" in wanted else wanted
    return _listed(call, call.store.collections["task"], "task", types, updated=call.window("date_updated"))


def leads(call: Call) -> Response:
    """Handle `GET /lead/`; the parameter `query` is ignored."""
    return _listed(call, call.store.leads.visible, "lead")


def users(call: Call) -> Response:
    """Handle `GET /user/`."""
    return _listed(call, call.store.collections["user"], "user")


def custom_fields(call: Call, object_type: str) -> Response:
    """Handle `GET /custom_field/{object_type}/`; the lists `custom_object_type` and `shared` have no pages."""
    if object_type not in CUSTOM_FIELD_OBJECTS:
        raise plain(404, "Not found.")
    fields = call.store.collections[f"custom_field/{object_type}"]
    if object_type not in _UNPAGED and call.settings.custom_field_lists_have_shared:
        fields = _with_shared(call, fields, object_type)
    rows = fields.select(Query("inserted"))
    if object_type in _UNPAGED:
        return json_response(call.joined(rows.page(0, len(rows))))
    return call.page(rows, "custom_field")


def _with_shared(call: Call, own: Collection, object_type: str) -> Collection:
    target = "custom_activity_type" if object_type == "activity" else object_type
    both = Collection()
    both.load(own.records.values())
    for field in call.store.collections["custom_field/shared"].records.values():
        if any(link["object_type"] == target for link in field.data().get("associations", [])):
            both.put(field)
    return both


def me(call: Call) -> Response:
    """Handle `GET /me/`: the owner of the key, with its membership."""
    store = call.store
    owner = store.objects.get(store.factory.world.me.id)
    if owner is None:
        raise plain(404, "Empty query: No user found")
    membership = {"user_id": owner.id, "role_id": "admin" if call.settings.admin else "user"}
    return json_response(owner.data() | {"memberships": [membership]})


def single(kinds: frozenset[str], call: Call, object_id: str) -> Response:
    """Handle `GET /<resource>/<id>/` for an object of one of these kinds."""
    record = call.store.objects.get(object_id)
    return call.single(record if record is not None and record.kind in kinds else None)

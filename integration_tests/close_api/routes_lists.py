"""The lists that are paged by offset, the owner of the key, and single objects."""

from random import Random

from .call import Call
from .errors import Response, field_errors, json_response, plain
from .records import OPEN, Collection, Order, Query, Window
from .world import is_shared_with

# Each order, and whether the newest rows are first.
_ORDERS: dict[str, tuple[Order, bool]] = {
    "newest": (("created",), True),
    "oldest": (("created",), False),
    "id": (("id",), False),
    "inserted": (None, False),
    "date_updated": (("updated",), False),
}
_ORDERS_BY = {"date_created": _ORDERS["oldest"], "-date_created": _ORDERS["newest"]}
_UNPAGED = {"custom_object_type", "shared"}


def _listed(
    call: Call,
    collection: Collection,
    resource: str,
    types: frozenset[str] | None = None,
    created: Window = OPEN,
    updated: Window = OPEN,
) -> Response:
    """Return a page of the rows of these types (None: all types) whose stamps are in the windows."""
    order, newest_first = _ORDERS[getattr(call.settings, f"{resource}_order")]
    if resource == "task" and call.settings.task_order_by == "honour":
        order, newest_first = _ORDERS_BY.get(call.value("_order_by") or "", (order, newest_first))
    wanted = call.values("id__in")
    ids = None if wanted is None else frozenset(wanted)
    rows = collection.select(Query(order, newest_first, created, updated, ids, types))
    if call.settings.list_ties == "random" and order in {("created",), ("updated",)}:
        random = Random(call.now)
        rows = sorted(rows, key=lambda record: (record.key(order)[0], random.random()), reverse=newest_first)
    return call.page(rows, resource, with_total=resource in {"lead", "task"})


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
    return _listed(call, call.store.collections["user"], "user")


def custom_fields(call: Call, object_type: str) -> Response:
    """Handle `GET /custom_field/{object_type}/`; the lists `custom_object_type` and `shared` have no pages."""
    collections = call.store.collections
    fields = list(collections[f"custom_field/{object_type}"].records.values())
    if object_type in _UNPAGED:
        if call.settings.pages_of_unpaged_lists == "reject" and call.value("_limit"):
            raise field_errors({"_limit": "Extra inputs are not permitted"})
        return call.listed(fields, {})
    if call.settings.custom_field_lists_have_shared:
        shared = collections["custom_field/shared"].records.values()
        fields += [record for record in shared if is_shared_with(record.data(), object_type)]
    return call.page(fields, "custom_field")


def me(call: Call) -> Response:
    """Handle `GET /me/`: the owner of the key, with its membership."""
    store = call.store
    owner = store.objects[store.factory.world.me.id]
    membership = {"user_id": owner.id, "role_id": "admin" if call.settings.admin else "user"}
    return json_response(owner.data() | {"memberships": [membership]})


def single(kinds: frozenset[str], call: Call, object_id: str) -> Response:
    """Handle `GET /<resource>/<id>/` for an object of one of these kinds."""
    record = call.store.objects.get(object_id)
    if record is None or record.kind not in kinds:
        raise plain(404, f"Empty query: No object found for id {object_id}")
    return json_response(call.shown(record))

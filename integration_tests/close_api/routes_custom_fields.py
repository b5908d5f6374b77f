"""The lists and schemas of custom fields."""

from starlette.responses import Response

from .call import Call
from .errors import json_response, plain
from .kinds import CUSTOM_FIELD_OBJECTS
from .records import Collection, Json, Query, Record

_UNPAGED = {"custom_object_type", "shared"}


def _own_and_shared(call: Call, object_type: str) -> Collection:
    collections = call.store.collections
    own = collections[f"custom_field/{object_type}"]
    if object_type in _UNPAGED or not call.settings.custom_field_lists_have_shared:
        return own
    both = Collection()
    both.load(own.records.values())
    target = "custom_activity_type" if object_type == "activity" else object_type
    shared = collections["custom_field/shared"].records.values()
    both.load(record for record in shared if any(link["object_type"] == target for link in _links(record.data())))
    return both


def _links(field: Json) -> list[Json]:
    links: list[Json] = field.get("associations", [])
    return links


def custom_fields(call: Call, object_type: str) -> Response:
    """Handle `GET /custom_field/{object_type}/`; the lists `custom_object_type` and `shared` have no pages."""
    if object_type not in CUSTOM_FIELD_OBJECTS:
        raise plain(404, "Not found.")
    rows = _own_and_shared(call, object_type).select(Query(order="inserted"))
    if object_type in _UNPAGED:
        return json_response(call.joined(rows.page(0, len(rows))))
    return call.page(rows, "custom_field")


def schema(call: Call, object_type: str) -> Response:
    """Handle `GET /custom_field_schema/{object_type}/`: own and shared fields in display order."""
    world = call.store.factory.world
    kind, _, type_id = object_type.partition("/")
    known = {"lead": [""], "contact": [""], "opportunity": [""]}
    known |= {"activity": world.activity_type_ids, "custom_object": world.object_type_ids}
    if type_id not in known.get(kind, []):
        raise plain(404, "Not found.")
    fields = [record.data() for record in _listed(call, kind) if _belongs(record.data(), kind, type_id)]
    answer: Json = {"object_type": object_type, "organization_id": world.organization_id, "fields": fields}
    if kind == "activity":
        answer["name"] = world.activity_type_names[type_id]
    return json_response(answer)


def _listed(call: Call, kind: str) -> list[Record]:
    own = "custom_object_type" if kind == "custom_object" else kind
    collections = call.store.collections
    return [
        *collections[f"custom_field/{own}"].records.values(),
        *collections["custom_field/shared"].records.values(),
    ]


def _belongs(field: Json, kind: str, type_id: str) -> bool:
    name = {"activity": "custom_activity_type", "custom_object": "custom_object_type"}.get(kind)
    places = _links(field) if field["is_shared"] else [{**field, "object_type": name or kind}]
    return any(
        place["object_type"] == (name or kind) and (name is None or place.get(f"{name}_id") == type_id)
        for place in places
    )

"""The lists of custom fields."""

from starlette.responses import Response

from .call import Call
from .errors import json_response, plain
from .kinds import CUSTOM_FIELD_OBJECTS
from .records import Collection, Json, Query

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

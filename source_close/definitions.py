"""The custom fields that an account has defined: their names, types and places.

https://developer.close.com/api/resources/custom-fields
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from functools import partial
from typing import Any

from source_close.errors import CloseApiError
from source_close.offset_pages import OffsetPages, Page
from source_close.windows import Row

LOGGER = logging.getLogger("airbyte.source-close")

CUSTOM_PREFIX = "custom."
SHARED = "shared"
_PAGE_SIZE = 100
_TEXT = {"type": ["string", "null"]}
_TYPES: Mapping[str, Mapping[str, Any]] = {
    "number": {"type": ["number", "null"]},
    "date": {**_TEXT, "format": "date"},
    "datetime": {**_TEXT, "format": "date-time", "airbyte_type": "timestamp_with_timezone"},
}
# Where the values of each kind of field stand: stream and the path of columns to the object that has them.
_PLACES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "lead": ("leads", ()),
    "contact": ("leads", ("contacts",)),
    "opportunity": ("leads", ("opportunities",)),
    "activity": ("activities", ()),
    "custom_activity_type": ("activities", ()),
}


class FieldDefinitions:
    """The lists of custom fields of an account, each read once a sync and only when something needs it.

    Safe to use from several threads.
    """

    def __init__(self, fetch: Callable[[str, int, int], Page]) -> None:
        """``fetch`` takes the kind (such as ``lead`` or ``shared``), ``_skip`` and ``_limit``."""
        self._fetch = fetch
        self._locks: dict[str, threading.Lock] = defaultdict(threading.Lock)
        self._lists: dict[str, list[Row]] = {}
        self._names: dict[str, str] | None = None

    def of(self, kind: str) -> list[Row]:
        """The fields of a kind. A shared field is one of the kind ``shared`` only, whatever lists Close shows it in.

        Raises:
            CloseApiError: the list can't be read.
        """
        with self._locks[kind]:
            if kind not in self._lists:
                pages = OffsetPages(partial(self._fetch, kind), _PAGE_SIZE, "date_updated")
                self._lists[kind] = [
                    row for rows in pages for row in rows if kind == SHARED or not row.get("is_shared")
                ]
        return self._lists[kind]

    def lead_field_names(self) -> Mapping[str, str]:
        """The name of each custom field that a lead may have, by id; none, and a warning, where they can't be read."""
        with self._locks["names"]:
            if self._names is None:
                try:
                    self._names = {row["id"]: row["name"] for kind in ("lead", SHARED) for row in self.of(kind)}
                except CloseApiError as error:
                    LOGGER.warning("Custom fields of leads come without their names. %s", error)
                    self._names = {}
        return self._names

    def add_columns(self, schemas: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        """The ``schemas`` of the streams with a column ``custom.cf_…`` for each field, wherever its values stand.

        Raises:
            CloseApiError: the definitions can't be read.
        """
        extended = {stream: deepcopy(dict(schema)) for stream, schema in schemas.items()}
        for kind, field in self._placed_fields():
            stream, path = _PLACES[kind]
            properties = extended[stream]["properties"]
            for column in path:
                properties = properties[column]["items"]["properties"]
            properties[f"{CUSTOM_PREFIX}{field['id']}"] = column_of(field)
        return extended

    def _placed_fields(self) -> Iterator[tuple[str, Row]]:
        for kind in ("lead", "contact", "opportunity", "activity"):
            for field in self.of(kind):
                yield kind, field
        for field in self.of(SHARED):
            for association in field.get("associations") or ():
                if association.get("object_type") in _PLACES:
                    yield association["object_type"], field


def column_of(field: Row) -> dict[str, Any]:
    """The JSON schema of a custom field's values.

    ``{"id": "cf_1", "name": "Budget", "type": "number"}`` becomes ``{"type": ["number", "null"], "title": "Budget",
    "description": "Custom field «Budget» (number)."}``. While a field is converted to another type, both are allowed.
    """
    types = [name for name in (field.get("type"), field.get("converting_to_type")) if name]
    value = deepcopy(dict(_TYPES.get(types[0], _TEXT))) if types else dict(_TEXT)
    for other in types[1:]:
        value = {"type": sorted({*value["type"], *_TYPES.get(other, _TEXT)["type"]})}
    schema = {"type": ["array", "null"], "items": value} if field.get("accepts_multiple_values") else value
    return {**schema, "title": field["name"], "description": _description(field, " to ".join(types))}


def _description(field: Row, type_name: str) -> str:
    several = ", several values" if field.get("accepts_multiple_values") else ""
    parts = [f"Custom field «{field['name']}» ({type_name}{several})."]
    if field.get("description"):
        parts.append(str(field["description"]))
    if field.get("choices"):
        parts.append(f"Choices: {', '.join(str(choice) for choice in field['choices'])}.")
    return " ".join(parts)

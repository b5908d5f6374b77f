"""The custom fields that an account has defined: their names, types and places.

https://developer.close.com/api/resources/custom-fields
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from functools import partial
from typing import Any

from airbyte_cdk.models import FailureType

from source_close.errors import UNAUTHORIZED, CloseApiError
from source_close.offset_pages import OffsetPages, Page, UnstableListError
from source_close.windows import Row

LOGGER = logging.getLogger("airbyte.source-close")

CUSTOM_PREFIX = "custom."
SHARED = "shared"
KINDS = ("lead", "contact", "opportunity", "activity", "custom_object_type", SHARED)
# Leads wait so long for the names of their fields: no longer than a cursor of their search lives.
NAMES_PATIENCE_SECONDS = 30.0
# A person waits for a discover, but one without the columns would change the tables.
COLUMNS_PATIENCE_SECONDS = 60.0
_PAGE_SIZE = 100
_TEXT = {"type": ["string", "null"]}
_TYPES: Mapping[str, Mapping[str, Any]] = {
    **dict.fromkeys(("text", "textarea", "hidden", "choices", "user", "contact", "custom_object"), _TEXT),
    "number": {"type": ["number", "null"]},
    "date": {**_TEXT, "format": "date"},
    "datetime": {**_TEXT, "format": "date-time", "airbyte_type": "timestamp_with_timezone"},
}
# What Close adds one day: nobody knows its values.
_OTHER_TYPE = {"type": ["string", "number", "boolean", "object", "array", "null"], "additionalProperties": True}
# Where the values of each kind of field stand: stream and the path of columns to the object that has them.
_PLACES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "lead": ("leads", ()),
    "contact": ("leads", ("contacts",)),
    "opportunity": ("leads", ("opportunities",)),
    "activity": ("activities", ()),
    "custom_activity_type": ("activities", ()),
}
_FetchFields = Callable[[str, float | None, int, int], Page]


class FieldDefinitions:
    """The lists of custom fields of an account, each read once a sync and only when something needs it.

    Safe to use from several threads.
    """

    def __init__(self, fetch: _FetchFields) -> None:
        """``fetch`` takes the kind (one of ``KINDS``), for how many seconds to try, ``_skip`` and ``_limit``."""
        self._fetch = fetch
        self._locks = {kind: threading.Lock() for kind in KINDS}
        self._lists: dict[str, list[Row]] = {}
        self._names_lock = threading.Lock()
        self._names: dict[str, str | None] | None = None

    def of(self, kind: str) -> list[Row]:
        """The fields of a kind. A shared field is one of the kind ``shared`` only, whatever lists Close shows it in.

        Raises:
            CloseApiError: the list can't be read.
        """
        return [row for row in self._list(kind, None) if kind == SHARED or not row.get("is_shared")]

    def lead_field_names(self) -> Mapping[str, str | None]:
        """The name of each custom field that a lead may have, by id; a warning, and no names, if they can't be read."""
        if self._names is None:
            with self._names_lock:
                if self._names is None:
                    self._names = self._read_lead_field_names()
        return self._names

    def _read_lead_field_names(self) -> dict[str, str | None]:
        lists, errors = self._lists_of(("lead", SHARED), NAMES_PATIENCE_SECONDS)
        if errors:
            LOGGER.warning(
                "Custom values of leads come without the names of their fields where these can't be read (%s). %s",
                ", ".join(errors),
                next(iter(errors.values())),
            )
        return {row["id"]: row.get("name") for rows in lists.values() for row in rows}

    def add_columns(self, schemas: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        """The ``schemas`` of the streams with a column ``custom.cf_…`` for each field, wherever its values stand.

        Fields that can't be read are left out, with a warning.

        Raises:
            CloseApiError: Close does not accept the key.
        """
        lists, errors = self._lists_of(
            [kind for kind in KINDS if kind in _PLACES or kind == SHARED], COLUMNS_PATIENCE_SECONDS
        )
        for error in errors.values():
            if error.status == UNAUTHORIZED:
                raise error
        if errors:
            LOGGER.warning(
                "Columns of custom fields are left out where the fields can't be read (%s); their values come all the "
                "same. %s",
                ", ".join(errors),
                next(iter(errors.values())),
            )
        extended = {stream: deepcopy(dict(schema)) for stream, schema in schemas.items()}
        for kind, field in _placed(lists):
            stream, path = _PLACES[kind]
            properties = extended[stream]["properties"]
            for column in path:
                properties = properties[column]["items"]["properties"]
            properties[f"{CUSTOM_PREFIX}{field['id']}"] = column_of(field)
        return extended

    def _lists_of(self, kinds: Sequence[str], patience: float) -> tuple[dict[str, list[Row]], dict[str, CloseApiError]]:
        """The lists of some kinds as Close gives them, read side by side, and the errors of those that can't be."""

        def read(kind: str) -> list[Row] | CloseApiError:
            try:
                return self._list(kind, patience)
            except CloseApiError as error:
                return error

        with ThreadPoolExecutor(len(kinds)) as pool:
            found = dict(zip(kinds, pool.map(read, kinds), strict=True))
        lists = {kind: rows for kind, rows in found.items() if not isinstance(rows, CloseApiError)}
        return lists, {kind: error for kind, error in found.items() if isinstance(error, CloseApiError)}

    def _list(self, kind: str, patience: float | None) -> list[Row]:
        """A list as Close gives it: shared fields may stand in the list of each kind that they are associated with."""
        lock = self._locks[kind]
        if not lock.acquire(timeout=-1 if patience is None else patience):
            raise _unreadable(kind, f"another stream has been trying to for {patience:.0f} s")
        try:
            if kind not in self._lists:
                pages = OffsetPages(partial(self._fetch, kind, patience), _PAGE_SIZE, "date_updated")
                self._lists[kind] = [row for rows in pages for row in rows]
        except UnstableListError:
            raise _unreadable(kind, "their order changes with every request") from None
        finally:
            lock.release()
        return self._lists[kind]


def _unreadable(kind: str, reason: str) -> CloseApiError:
    return CloseApiError(
        message=f"The custom fields of the kind {kind} can't be read: {reason}.",
        failure_type=FailureType.transient_error,
        stream="custom_fields",
    )


def _placed(lists: Mapping[str, list[Row]]) -> Iterator[tuple[str, Row]]:
    """Each field with each kind of object that may have it."""
    for kind, fields in lists.items():
        for field in fields:
            kinds = [link.get("object_type") for link in field.get("associations") or ()] if kind == SHARED else [kind]
            yield from ((place, field) for place in kinds if place in _PLACES)


def column_of(field: Row) -> dict[str, Any]:
    """The JSON schema of a custom field's values.

    ``{"id": "cf_1", "name": "Budget", "type": "number"}`` becomes ``{"type": ["number", "null"], "title": "Budget",
    "description": "Custom field «Budget» (number)."}``. While a field is converted to another type, both are allowed.
    """
    value = deepcopy(dict(_TYPES.get(field.get("type", ""), _OTHER_TYPE)))
    if field.get("converting_to_type"):
        other = _TYPES.get(field["converting_to_type"], _OTHER_TYPE)
        value = {"type": sorted({*value["type"], *other["type"]})}
    schema = {"type": ["array", "null"], "items": value} if field.get("accepts_multiple_values") else value
    return {**schema, "title": _name(field), "description": _description(field)}


def _name(field: Row) -> str:
    return str(field.get("name") or field["id"])


def _description(field: Row) -> str:
    kind = [str(field.get("type") or "of no known type")]
    if field.get("converting_to_type"):
        kind.append(f"being converted to {field['converting_to_type']}")
    if field.get("accepts_multiple_values"):
        kind.append("several values")
    parts = [f"Custom field «{_name(field)}» ({', '.join(kind)})."]
    if field.get("description"):
        parts.append(str(field["description"]))
    if field.get("choices"):
        parts.append(f"Choices: {', '.join(str(choice) for choice in field['choices'])}.")
    return " ".join(parts)

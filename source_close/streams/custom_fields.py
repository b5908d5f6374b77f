"""Add the account's custom fields: https://developer.close.com/api/resources/custom-fields."""

import threading
from collections import defaultdict
from collections.abc import Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import requests
from airbyte_cdk import AirbyteTracedException, Config, Record, RecordTransformation
from airbyte_cdk.sources.declarative.schema import SchemaLoader
from airbyte_cdk.sources.streams.concurrent.abstract_stream import AbstractStream
from airbyte_cdk.sources.streams.concurrent.partitions.partition import Partition

from source_close.api.errors import LOGGER, NOT_OFFERED, CloseApiError
from source_close.api.responses import Row, without_nulls
from source_close.api.sync import Sync
from source_close.streams.event_log import DELETED_AT
from source_close.streams.records import parts_of

PREFIX = "custom."  # of the key of a custom value in a record, followed by the id of its field
_CUSTOM = "custom"  # the key of an object with custom values by the names or ids of their fields
_ID_PREFIXES = ("cf_", "lcf_")  # of the ids of fields; the second is the older one
_NO_COLUMNS = (
    "Custom fields that can't be read (%s) get no columns. Their values are read all the same. %s"
)
_NO_NAMES = "Custom values of leads have no names, because the custom fields can't be read (%s). %s"
_UNRESOLVED = (
    "Custom values of the kind %s are not in columns, because their names are those of no custom "
    "field, or of several: %s. Those of leads are in the list custom_fields, without an id."
)
_UNKNOWN_FORM = "Custom field %s gets no column: its form is unknown. Its values are read."


@dataclass
class CustomFieldsSchemaLoader(SchemaLoader):
    """Adds a column ``custom.cf_…`` for each custom field to the schema of ``schema_loader``.

    ``DynamicSchemaLoader``, the built-in, can't add columns inside nested lists.

    Attributes:
        places: by object type, the column whose objects have the values; empty if the record
            itself has them.
        types: the schema of each type of field, and of ``other``.
        fields: the stream of definitions.
    """

    name: str
    config: Config
    schema_loader: SchemaLoader
    fields: AbstractStream
    places: Mapping[str, str]
    types: Mapping[str, Mapping[str, Any]]

    def get_json_schema(self) -> Mapping[str, Any]:
        """Return the JSON schema, in a read or a check without the columns of custom fields.

        Raises:
            CloseApiError: if the definitions can't be read, unless the key may not read them.
        """
        schema = deepcopy(dict(self.schema_loader.get_json_schema()))
        if Sync.of(self.config).custom_field_columns:
            rows = _read_fields(self.name, self.fields, self.places, for_columns=True)
            for row in rows:
                try:
                    self._add_column(schema, row)
                except (AttributeError, TypeError):  # noqa: PERF203 - few fields
                    LOGGER.warning(_UNKNOWN_FORM, row["id"])
        return schema

    # Adds the column of a field where its values are; a shared field may have several places.
    def _add_column(self, schema: dict[str, Any], row: Row) -> None:
        for object_type in self.places.keys() & _object_types_of(row):
            properties = schema["properties"]
            column = self.places[object_type]
            if column:
                properties = properties[column]["items"]["properties"]
            properties[f"{PREFIX}{row['id']}"] = self._column(row)

    def _column(self, row: Row) -> dict[str, Any]:
        field_type = str(row.get("type") or "of no known type")
        name = str(row.get("name") or row["id"])
        traits = [field_type]
        column = self.types.get(field_type, self.types["other"])
        if row.get("converting_to_type"):
            traits.append(f"being converted to {row['converting_to_type']}")
            if column != self.types.get(row["converting_to_type"]):
                column = self.types["other"]  # text until all values are of one type again
        if row.get("accepts_multiple_values"):
            traits.append("several values")
            column = {"type": ["array", "null"], "items": column}
        description = f"Custom field «{name}» ({', '.join(traits)})."
        if row.get("description"):
            description += f" {row['description']}"
        if row.get("choices"):
            description += f" Choices: {', '.join(map(str, row['choices']))}."
        return {**column, "title": name, "description": description}


@dataclass
class CustomFieldsTransformation(RecordTransformation):
    """Adds the list ``custom_fields`` to a lead, and removes ``custom``.

    From ``"custom.cf_1": "Web"`` it makes ``"custom_fields": [{"id": "cf_1", "name": "Source",
    "value": "Web"}]``. A lead may have its values by name only, as ``"custom": {"Source": "Web"}``,
    and so may its contacts and opportunities: they get them by id. ``AddFields`` needs to know the
    keys. ``RemoveFields``, the built-in for ``custom``, walks through the whole record.

    Attributes:
        fields: the stream of definitions.
        places: by object type, the column whose objects have the values; empty if the lead itself
            has them.
    """

    name: str
    fields: AbstractStream
    places: Mapping[str, str]

    def __post_init__(self) -> None:
        self._definitions = dict[str, dict[str, Row]]()
        self._reported = defaultdict[str, set[str]](set)
        self._lock = threading.Lock()

    def transform(self, record: dict[str, Any], *_: Any, **__: Any) -> None:
        """Change ``record`` in place. A deletion gets no list."""
        unresolved = self._resolve(record, "lead")
        for object_type, column in self.places.items():
            for part in parts_of(record, column):  # none for the lead, whose column is empty
                self._resolve(part, object_type)
        record.pop(_CUSTOM, None)
        if DELETED_AT not in record:
            record["custom_fields"] = self._list_of(record, unresolved)

    def _list_of(self, record: Row, unresolved: Mapping[str, Any]) -> list[Row]:
        ids = [key.removeprefix(PREFIX) for key in record if key.startswith(PREFIX)]
        definitions = self._definitions_of("lead") if ids else {}
        values = [
            {
                "id": field_id,
                "name": definitions.get(field_id, {}).get("name"),
                "value": record[PREFIX + field_id],
            }
            for field_id in ids
        ]
        return values + [
            {"id": None, "name": name, "value": value} for name, value in unresolved.items()
        ]

    # Moves the values under ``custom``, whose keys are names or ids of fields, to ``custom.<id>``,
    # unless the object already has such keys. Those whose name is of no field, or of several, stay
    # and are returned.
    def _resolve(self, part: Row, object_type: str) -> dict[str, Any]:
        if not isinstance(part.get(_CUSTOM), dict) or any(key.startswith(PREFIX) for key in part):
            return {}
        unresolved = without_nulls(part.pop(_CUSTOM))
        for key in list(unresolved):
            field_id = self._field_id(key, object_type)
            if field_id is not None:
                part[PREFIX + field_id] = unresolved.pop(key)
        if unresolved:
            part[_CUSTOM] = unresolved
            self._report(unresolved.keys(), object_type)
        return unresolved

    # The id of the field that a key under ``custom`` means; None if no field has it, or several.
    # The definitions include shared fields of other objects, which may have the same name.
    def _field_id(self, key: str, object_type: str) -> str | None:
        definitions = self._definitions_of(object_type).values()
        named = [
            row["id"]
            for row in definitions
            if row.get("name") == key and _has_object_type(row, object_type)
        ]
        if len(named) == 1:
            return str(named[0])
        return key if key.startswith(_ID_PREFIXES) else None

    # Each name of an object type is reported once.
    def _report(self, names: Collection[str], object_type: str) -> None:
        with self._lock:
            new_names = set(names) - self._reported[object_type]
            self._reported[object_type] |= new_names
        if new_names:
            LOGGER.warning(_UNRESOLVED, object_type, ", ".join(sorted(new_names)))

    # The definitions of the fields of an object type, and of all shared fields, by id.
    def _definitions_of(self, object_type: str) -> dict[str, Row]:
        with self._lock:
            if object_type not in self._definitions:
                rows = _read_fields(self.name, self.fields, [object_type], for_columns=False)
                self._definitions[object_type] = {row["id"]: row for row in rows}
            return self._definitions[object_type]


# The types of the objects that have values of a field; a shared field has several. It raises an
# AttributeError or a TypeError if the definition has a form that Close does not document.
def _object_types_of(row: Row) -> set[str]:
    links = (row.get("associations") or []) if row["object_type"] == "shared" else [row]
    return {link.get("object_type", "") for link in links}


# Whether objects of a type have values of a field; not if the definition has an unknown form.
def _has_object_type(row: Row, object_type: str) -> bool:
    try:
        return object_type in _object_types_of(row)
    except (AttributeError, TypeError):
        return False


def partitions_by_list(stream: AbstractStream) -> dict[str, list[Partition]]:
    """Return the partitions of each list that a stream reads, by the object type of a custom field.

    A stream of other records has one list, whose object type is empty.
    """
    lists = defaultdict[str, list[Partition]](list)
    for partition in stream.generate_partitions():
        object_type = (partition.to_slice() or {}).get("object_type", "")
        lists[object_type].append(partition)
    return lists


def _read_fields(
    stream: str, fields: AbstractStream, object_types: Collection[str], *, for_columns: bool
) -> list[Row]:
    """Return the definitions of the fields of objects, such as leads, and shared fields.

    Args:
        stream: the stream that needs them.
        fields: the stream of definitions.
        object_types: those of the objects that have the fields, such as ``lead``.
        for_columns: whether they are for the columns of a catalog, or for names in leads. A warning
            says which can't be read. Columns that can't be read for another reason than a missing
            permission or list end the stream, as the catalog would lack them.

    Raises:
        CloseApiError: if the key is refused, or for columns as above.
    """
    definitions = list[Row]()
    problems = dict[str, str]()  # by object type
    for object_type, reading in _readings_by_object_type(fields, object_types).items():
        try:
            definitions += [dict(record.data) for record in reading.result()]
        except AirbyteTracedException as error:  # noqa: PERF203 - few lists
            status = getattr(error, "status", 0)
            text = getattr(error, "text", str(error))
            if status == requests.codes.unauthorized or (for_columns and status not in NOT_OFFERED):
                raise CloseApiError(stream, text, error.failure_type, status) from None
            problems[object_type] = text
    if problems:
        warning = _NO_COLUMNS if for_columns else _NO_NAMES
        LOGGER.warning(warning, ", ".join(problems), list(problems.values())[-1])
    return definitions


# The readings of the lists, side by side and complete.
def _readings_by_object_type(
    fields: AbstractStream, object_types: Collection[str]
) -> dict[str, Future[list[Record]]]:
    with ThreadPoolExecutor() as pool:
        return {
            object_type: pool.submit(list, partition.read())
            for object_type, [partition] in partitions_by_list(fields).items()
            if object_type == "shared" or object_type in object_types
        }

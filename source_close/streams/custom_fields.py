"""Add the account's custom fields: https://developer.close.com/api/resources/custom-fields."""

import threading
from collections.abc import Collection, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from airbyte_cdk import AirbyteTracedException, Config, FailureType, RecordTransformation
from airbyte_cdk.sources.declarative.schema import SchemaLoader
from airbyte_cdk.sources.streams.concurrent.abstract_stream import (
    AbstractStream as DeclarativeStream,
)

from source_close.api.errors import LOGGER
from source_close.api.responses import Row
from source_close.api.sync import Sync

PREFIX = "custom."  # of the key of a value in a record, followed by the field's id
_NO_COLUMNS = (
    "Custom fields that can't be read (%s) get no columns. Their values are read all the same. %s"
)
_NO_NAMES = "Custom values of leads have no names, because the custom fields can't be read (%s). %s"
_ODD_FIELD = "Custom field %s gets no column: its form is unknown. Its values are read."


@dataclass
class CustomFieldsSchemaLoader(SchemaLoader):
    """Adds a column ``custom.cf_…`` for each custom field to the schema of ``schema_loader``.

    ``DynamicSchemaLoader`` reads one list of fields and can't add columns inside nested lists.

    Attributes:
        places: the path of the values of each kind of field, ``[]`` for the record.
        types: the schema of each type of field, and of ``other``.
        fields: the stream of definitions.
    """

    config: Config
    schema_loader: SchemaLoader
    fields: DeclarativeStream
    places: Mapping[str, Sequence[str]]
    types: Mapping[str, Mapping[str, Any]]

    def get_json_schema(self) -> Mapping[str, Any]:
        """Return the JSON schema; in a read it has no such columns."""
        schema = deepcopy(dict(self.schema_loader.get_json_schema()))
        sync = Sync.of(self.config)
        if sync["custom_field_columns"]:
            for row in read_fields(self.fields, {*self.places, "shared"}, _NO_COLUMNS, sync):
                try:
                    self._add_column(schema, row)
                except (AttributeError, TypeError):  # noqa: PERF203 - once
                    LOGGER.warning(_ODD_FIELD, row["id"])
        return schema

    # Adds the column of a field where its values are; a shared field has values in several kinds.
    def _add_column(self, schema: dict[str, Any], row: Row) -> None:
        links = row.get("associations") or [] if row["object_type"] == "shared" else [row]
        for kind in self.places.keys() & {link.get("object_type") for link in links}:
            properties = schema["properties"]
            for column in self.places[kind]:
                properties = properties[column]["items"]["properties"]
            properties[f"{PREFIX}{row['id']}"] = self._column(row)

    def _column(self, row: Row) -> dict[str, Any]:
        kind = str(row.get("type") or "of no known type")
        name = str(row.get("name") or row["id"])
        traits = [kind]
        column = self.types.get(kind, self.types["other"])
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
        return {**deepcopy(dict(column)), "title": name, "description": description}


@dataclass
class CustomFieldsTransformation(RecordTransformation):
    """Adds the list ``custom_fields`` to a record, and removes the fields in ``drop``.

    From ``"custom.cf_1": "Web"`` it makes ``"custom_fields": [{"id": "cf_1", "name": "Source",
    "value": "Web"}]``. ``AddFields`` needs to know the keys. ``RemoveFields`` walks through the
    record for each field, 1.5 ms a lead. ``kinds`` are the lists of ``fields`` with the names.
    """

    config: Config
    fields: DeclarativeStream
    kinds: Sequence[str]
    drop: Sequence[str]
    _names: dict[str, str | None] | None = field(default=None, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def transform(self, record: dict[str, Any], *_: Any, **__: Any) -> None:
        """Change ``record`` in place. A deletion has no date_created and gets no list."""
        for name in self.drop:
            record.pop(name, None)
        if "date_created" not in record:
            return
        ids = [key.removeprefix(PREFIX) for key in record if key.startswith(PREFIX)]
        names = self._field_names() if ids else {}
        record["custom_fields"] = [
            {"id": field_id, "name": names.get(field_id), "value": record[f"{PREFIX}{field_id}"]}
            for field_id in ids
        ]

    def _field_names(self) -> dict[str, str | None]:
        with self._lock:
            if self._names is None:
                rows = read_fields(self.fields, self.kinds, _NO_NAMES, Sync.of(self.config))
                self._names = {row["id"]: row.get("name") for row in rows}
            return self._names


def read_fields(
    fields: DeclarativeStream, kinds: Collection[str], warning: str, sync: Sync
) -> list[Row]:
    """Return the definitions of ``kinds`` such as ``lead`` or ``shared``.

    ``warning`` is logged if some can't be read, with their kinds and the last error.

    Raises:
        AirbyteTracedException: if the key is refused; in discover also if Close is down, since a
            catalog would lack the columns.
    """
    definitions = list[Row]()
    unreadable = dict[str, AirbyteTracedException]()
    for partition in fields.generate_partitions():
        kind = (partition.to_slice() or {})["object_type"]
        if kind not in kinds:
            continue
        try:
            definitions += [dict(record.data) for record in partition.read()]
        except AirbyteTracedException as error:
            is_outage = error.failure_type == FailureType.transient_error
            if sync.key_refused or (is_outage and sync["custom_field_columns"]):
                raise
            unreadable[kind] = error
    if unreadable:
        LOGGER.warning(warning, ", ".join(unreadable), *list(unreadable.values())[-1:])
    return definitions

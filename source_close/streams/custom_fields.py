"""Add the columns and names of the account's custom fields: https://developer.close.com/api/resources/custom-fields."""

import threading
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from airbyte_cdk import AirbyteTracedException, Config, FailureType, RecordTransformation
from airbyte_cdk.sources.declarative.schema import SchemaLoader
from airbyte_cdk.sources.streams.concurrent.abstract_stream import AbstractStream as DeclarativeStream

from source_close.api.sync import KEY_REFUSED, LOGGER, Sync
from source_close.dates import Row


@dataclass
class CustomFieldsSchemaLoader(SchemaLoader):
    """Adds a column ``custom.cf_…`` for each custom field to the schema of ``schema_loader``.

    ``DynamicSchemaLoader`` reads one list of fields and can't add columns inside nested lists. ``places`` maps a kind
    of field to the path of its values, ``[]`` for the record; ``types`` a field's type, or ``other``, to a schema.
    """

    config: Config
    schema_loader: SchemaLoader
    fields: DeclarativeStream
    places: Mapping[str, Sequence[str]]
    types: Mapping[str, Mapping[str, Any]]

    def get_json_schema(self) -> Mapping[str, Any]:
        """Return the JSON schema. In a read (``custom_field_columns`` is false) it has no such columns."""
        schema = deepcopy(dict(self.schema_loader.get_json_schema()))
        problem = "Custom fields that can't be read (%s) get no columns. Their values are read all the same."
        kinds = {*self.places, "shared"} if self.config["custom_field_columns"] else ()
        for row in read_fields(self.fields, kinds, problem, self.config):
            try:
                links = [link.get("object_type") for link in row.get("associations") or ()]
                for kind in self.places.keys() & (links if row["object_type"] == "shared" else [row["object_type"]]):
                    properties = schema["properties"]
                    for column in self.places[kind]:
                        properties = properties[column]["items"]["properties"]
                    properties[f"custom.{row['id']}"] = self._column(row)
            except (AttributeError, TypeError):  # noqa: PERF203 - once
                LOGGER.warning("Custom field %s gets no column: its form is unknown. Its values are read.", row["id"])
        return schema

    def _column(self, row: Row) -> dict[str, Any]:
        """Return the schema of a field's values. It is text while a field gets a type with another schema."""
        kind, name = str(row.get("type") or "of no known type"), str(row.get("name") or row["id"])
        value, traits = deepcopy(dict(self.types.get(kind, self.types["other"]))), [kind]
        if other := row.get("converting_to_type"):
            value = value if value == self.types.get(other) else deepcopy(dict(self.types["other"]))
            traits.append(f"being converted to {other}")
        if row.get("accepts_multiple_values"):
            value = {"type": ["array", "null"], "items": value}
            traits.append("several values")
        choices = ", ".join(str(choice) for choice in row.get("choices") or ())
        parts = [f"Custom field «{name}» ({', '.join(traits)}).", row.get("description")]
        about = " ".join(str(part) for part in [*parts, choices and f"Choices: {choices}."] if part)
        return {**value, "title": name, "description": about}


@dataclass
class CustomFieldsTransformation(RecordTransformation):
    """Adds the list ``custom_fields`` to a record, and removes the fields in ``drop``.

    From ``"custom.cf_1": "Web"`` it makes ``"custom_fields": [{"id": "cf_1", "name": "Source", "value": "Web"}]``.
    ``AddFields`` needs to know the keys. ``RemoveFields`` walks through the record for each field, 1.5 ms a lead.
    """

    config: Config
    fields: DeclarativeStream
    kinds: Sequence[str]
    drop: Sequence[str]
    _names: dict[str, str | None] | None = field(default=None, init=False)
    _lock: Any = field(default_factory=threading.Lock, init=False)

    def transform(self, record: dict[str, Any], *_: Any, **__: Any) -> None:
        """Change ``record`` in place. The row of a deletion has no date_created and gets no list."""
        for name in self.drop:
            record.pop(name, None)
        if "date_created" not in record:
            return
        values = {key.removeprefix("custom."): value for key, value in record.items() if key.startswith("custom.")}
        with self._lock:
            if self._names is None and values:
                problem = "Custom values of leads have no names, because the custom fields can't be read (%s)."
                rows = read_fields(self.fields, self.kinds, problem, self.config)
                self._names = {row["id"]: row.get("name") for row in rows}
            names = self._names or {}
        record["custom_fields"] = [{"id": key, "name": names.get(key), "value": value} for key, value in values.items()]


def read_fields(stream: DeclarativeStream, kinds: Collection[str], problem: str, config: Config) -> list[Row]:
    """Return the fields of ``kinds``. Log ``problem % kinds`` if some can't be read; raise for a bad key or outage."""
    partitions = {(one.to_slice() or {})["object_type"]: one for one in stream.generate_partitions()}
    with ThreadPoolExecutor() as pool:
        read = {kind: pool.submit(list, one.read()) for kind, one in partitions.items() if kind in kinds}
    errors = {kind: error for kind, one in read.items() if isinstance(error := one.exception(), AirbyteTracedException)}
    for error in errors.values():  # while Close is down, discover fails, since a catalog would lack the columns
        is_outage = config["custom_field_columns"] and error.failure_type == FailureType.transient_error
        if is_outage or KEY_REFUSED in Sync.of(config).given_up:
            raise error
    if errors:
        LOGGER.warning("%s %s", problem % ", ".join(errors), next(iter(errors.values())))
    return [dict(record.data) for kind, one in read.items() if kind not in errors for record in one.result()]

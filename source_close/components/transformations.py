"""What is changed in records on their way."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from airbyte_cdk.sources.declarative.transformations import RecordTransformation
from airbyte_cdk.sources.types import Config, StreamSlice, StreamState

from source_close.definitions import CUSTOM_PREFIX, FieldDefinitions


class _InPlaceTransformation(RecordTransformation):
    """A transformation that needs to know nothing but the record."""

    def transform(
        self,
        record: dict[str, Any],
        config: Config | None = None,
        stream_state: StreamState | None = None,
        stream_slice: StreamSlice | None = None,
    ) -> None:
        """Change ``record`` in place."""
        self.change(record)

    @abstractmethod
    def change(self, record: dict[str, Any]) -> None:
        """Change ``record`` in place."""


@dataclass
class JsonTextTransformation(_InPlaceTransformation):
    """Write objects as JSON text, and fields that are absent as null.

    ``{"data": {"n": 1}}`` becomes ``{"data": '{"n":1}', "previous_data": None}``. The built-in ``AddFields`` evaluates
    a template for each record and would write Python's notation.

    Attributes:
        fields: names of the fields.
    """

    fields: Sequence[str] = field(default_factory=list)

    def change(self, record: dict[str, Any]) -> None:
        """Change ``record`` in place."""
        for name in self.fields:
            value = record.get(name)
            record[name] = None if value is None else orjson.dumps(value).decode()


@dataclass
class DropFieldsTransformation(_InPlaceTransformation):
    """Leave out fields at the top of a record.

    The built-in ``RemoveFields`` walks through the whole record for each field: 1.5 ms for a lead.

    Attributes:
        fields: names of the fields.
    """

    fields: Sequence[str] = field(default_factory=list)

    def change(self, record: dict[str, Any]) -> None:
        """Change ``record`` in place."""
        for name in self.fields:
            record.pop(name, None)


@dataclass
class CustomFieldsTransformation(_InPlaceTransformation):
    """List a record's custom values beside the keys under which Close sends them.

    ``{"custom.cf_1": "Web"}`` becomes ``{"custom.cf_1": "Web", "custom_fields": [{"id": "cf_1", "name": "Source",
    "value": "Web"}]}``. The built-in ``AddFields`` can't build a list from keys that it does not know beforehand.

    Attributes:
        definitions: knows the names; given by the source. They are read when the first value is met.
    """

    definitions: FieldDefinitions | None = None

    def change(self, record: dict[str, Any]) -> None:
        """Change ``record`` in place."""
        values = {
            name.removeprefix(CUSTOM_PREFIX): value for name, value in record.items() if name.startswith(CUSTOM_PREFIX)
        }
        names = self.definitions.lead_field_names() if values and self.definitions is not None else {}
        record["custom_fields"] = [
            {"id": field_id, "name": names.get(field_id), "value": value} for field_id, value in values.items()
        ]

"""Extract the records from responses, and bring their columns to one type each."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import requests
from airbyte_cdk import AirbyteRecordMessage, RecordExtractor, RecordTransformation

from source_close.api.errors import LOGGER
from source_close.api.responses import Row, response_json
from source_close.streams.custom_fields import PREFIX

_UNDECLARED = (
    "Stream %s: Close returned columns that the schema does not have: %s. They are emitted, but "
    "destinations with typed columns drop them. Please report them."
)


class DataExtractor(RecordExtractor):
    """Extracts ``data``.

    ``DpathExtractor`` walks through the whole response for it, a sixth of the CPU time of a read.
    """

    def extract_records(self, response: requests.Response) -> Iterable[Row]:
        """Return the rows of a page."""
        return list(response_json(response)["data"])


@dataclass
class ColumnTypeTransformation(RecordTransformation):
    """Converts the columns in ``types`` to one type each, since a table's column has one.

    ``json`` makes JSON text of any value, ``text`` of any but text, ``boolean`` a boolean of 0 and
    1. Null stays null. ``AddFields`` would write Python's notation, and takes longer.
    """

    types: Mapping[str, str]

    def transform(self, record: dict[str, Any], *_: Any, **__: Any) -> None:
        """Change ``record`` in place."""
        for name, kind in self.types.items():
            value = record.get(name)
            if value is not None:
                record[name] = _converted(value, kind)


class UndeclaredColumns:
    """The columns at the top of records that the schema of their stream lacks, custom ones aside.

    Args:
        schemas: the JSON schema of each stream, by name.
    """

    def __init__(self, schemas: Mapping[str, Mapping[str, Any]]) -> None:
        self._known = {name: set(schema.get("properties", ())) for name, schema in schemas.items()}
        self._found = defaultdict[str, set[str]](set)

    def note(self, record: AirbyteRecordMessage) -> None:
        """Look at a record."""
        known = self._known.get(record.stream)
        if known is not None and not known.issuperset(record.data):
            self._found[record.stream].update(record.data.keys() - known)
            known.update(record.data)

    def log(self) -> None:
        """Name the columns, so that somebody can report them."""
        for stream, names in self._found.items():
            columns = sorted(name for name in names if not name.startswith(PREFIX))
            if columns:
                LOGGER.info(_UNDECLARED, stream, ", ".join(columns))


def _converted(value: Any, kind: str) -> Any:
    if kind == "boolean":
        return bool(value)
    if kind == "text" and isinstance(value, str):
        return value
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:  # nested too deep for orjson
        return json.dumps(value)

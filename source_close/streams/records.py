"""Make records of the rows in a response: extract them, and bring their columns to one type."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import requests
from airbyte_cdk import RecordExtractor, RecordTransformation

from source_close.api.responses import Row, response_json


class DataExtractor(RecordExtractor):
    """Extracts ``data``.

    ``DpathExtractor`` walks through the whole response for it, a sixth of the CPU time of a read,
    and takes a body that its parser rejects, such as one with a byte order mark, for an empty page.
    """

    def extract_records(self, response: requests.Response) -> Iterable[Row]:
        """Return the rows of a page."""
        return list(response_json(response)["data"])


def parts_of(record: Row, column: str) -> list[Row]:
    """Return the objects in the list that a record has in ``column``, none if it has no list."""
    value = record.get(column)
    parts = value if isinstance(value, list) else []
    return [part for part in parts if isinstance(part, dict)]


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


def _converted(value: Any, kind: str) -> Any:
    if kind == "boolean":
        return bool(value)
    if kind == "text" and isinstance(value, str):
        return value
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:  # nested too deep for orjson
        return json.dumps(value)

"""Extract the records from responses, keep those of the window, and convert their columns."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import requests
from airbyte_cdk import OffsetIncrement, RecordExtractor, RecordFilter, RecordTransformation

from source_close.components.error_handler import response_json
from source_close.moments import Row, moment_of, parse_moment


class DataExtractor(RecordExtractor):
    """Extracts ``data``. ``DpathExtractor`` walks the whole response for it and takes twice the CPU time."""

    def extract_records(self, response: requests.Response) -> Iterable[Row]:
        """Return the rows of a page."""
        return list(response_json(response)["data"])


class HasMorePaginationStrategy(OffsetIncrement):
    """Reads pages until ``has_more`` is false. ``OffsetIncrement`` stops at a page shorter than the page size."""

    def next_page_token(self, response: requests.Response, *args: Any, **options: Any) -> str | None:
        """Return the next ``_skip`` or None, as text because the CDK takes the number 0 for the end."""
        body, last = response_json(response), int(options.get("last_page_token_value") or 0)
        return str(last + len(body["data"])) if body.get("has_more") else None


@dataclass
class WindowRecordFilter(RecordFilter):
    """Keeps records whose cursor is in the slice's ``[start, end)`` or missing. ``RecordFilter`` takes longer."""

    cursor_field: str = ""

    def filter_records(self, records: Any, stream_state: Any, stream_slice: Any = None, *_: Any, **__: Any) -> Any:
        """Yield the records to keep."""
        start, end = (parse_moment(bound) for bound in stream_slice.cursor_slice.values())
        start = start.replace(microsecond=0)  # Close may truncate date filters to seconds
        for record in records:
            if (moment := moment_of(record, self.cursor_field)) is None or start <= moment < end:
                yield record


@dataclass
class ColumnTypeTransformation(RecordTransformation):
    """Converts the columns in ``types`` to one type each, since a table's column has one. ``AddFields`` takes longer.

    ``json`` makes JSON text of any value, ``text`` of any but text, ``boolean`` a boolean of 0 and 1. Null stays null.
    """

    types: Mapping[str, str]

    def transform(self, record: dict[str, Any], *_: Any, **__: Any) -> None:
        """Change ``record`` in place."""
        for name, kind in self.types.items():
            value = record.get(name)
            if kind == "boolean":
                record |= {name: bool(value)} if value is not None else {}
            elif kind == "json" or not isinstance(value, str | None):
                try:
                    record[name] = None if value is None else orjson.dumps(value).decode()
                except orjson.JSONEncodeError:  # nested too deep for orjson
                    record[name] = json.dumps(value)

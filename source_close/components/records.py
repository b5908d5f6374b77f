"""Takes the records out of answers, keeps those of the window, and brings them into form."""

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
    """The rows under ``data``; ``DpathExtractor`` walks the whole answer for them, at twice the processor time."""

    def extract_records(self, response: requests.Response) -> Iterable[Row]:
        """Give the rows of a page."""
        return list(response_json(response)["data"])


class HasMorePaginationStrategy(OffsetIncrement):
    """Goes on as long as Close says ``has_more``; ``OffsetIncrement`` ends at a page shorter than it asked for."""

    def next_page_token(self, response: requests.Response, *args: Any, **options: Any) -> str | None:
        """The next ``_skip``, as text: the CDK takes the number 0 for the end."""
        answer, last = response_json(response), int(options.get("last_page_token_value") or 0)
        return str(last + len(answer["data"])) if answer.get("has_more") else None


@dataclass
class WindowRecordFilter(RecordFilter):
    """Keeps the records of the slice's ``[start, end)`` and those without a stamp, faster than ``RecordFilter``."""

    cursor_field: str = ""

    def filter_records(self, records: Any, stream_state: Any, stream_slice: Any = None, *_: Any, **__: Any) -> Any:
        """Yield the records to keep."""
        start, end = (parse_moment(bound) for bound in stream_slice.cursor_slice.values())
        start = start.replace(microsecond=0)  # Close may read its date filters to the second
        for record in records:
            moment = moment_of(record, self.cursor_field)
            if moment is None or start <= moment < end:
                yield record


@dataclass
class ColumnTypeTransformation(RecordTransformation):
    """Gives each column of ``types`` values of one type, which tables need; ``AddFields`` takes longer.

    ``json`` is any value as JSON text, null if absent; ``text`` leaves text as it is; ``boolean`` takes 0 and 1.
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
                except orjson.JSONEncodeError:  # nested deeper than it writes
                    record[name] = json.dumps(value)

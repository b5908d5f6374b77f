"""Page through lists: https://developer.close.com/api/overview/pagination.md."""

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests
from airbyte_cdk import CursorPaginationStrategy, Decoder, OffsetIncrement
from airbyte_cdk.sources.declarative.decoders.decoder import DECODER_OUTPUT_TYPE

from source_close.api.responses import response_json

_MAX_REPETITIONS = 2
_POSITION = re.compile(r"_(skip|cursor)=[^&]*")


@dataclass
class OffsetPaginationStrategy(OffsetIncrement):
    """Reads until ``has_more`` is false, in pages that begin ``overlap`` rows before the last end.

    ``OffsetIncrement`` stops at a page that is shorter than the page size, and its pages have no
    row in common, which would show that rows have moved meanwhile.
    """

    overlap: int = 0

    def next_page_token(self, response: requests.Response, *_: Any, **options: Any) -> int | None:
        """Return the next ``_skip``, or None at the end of the list."""
        body = response_json(response)
        last: int = options.get("last_page_token_value") or 0
        return last + max(len(body["data"]) - self.overlap, 1) if body.get("has_more") else None


class ParsedBodyDecoder(Decoder):
    """Returns the body of a response as it was parsed for the records."""

    def is_stream_response(self) -> bool:
        """Return that a response is received as a whole."""
        return False

    def decode(self, response: requests.Response) -> DECODER_OUTPUT_TYPE:
        """Yield the body."""
        yield response_json(response)


@dataclass
class ParsedCursorPaginationStrategy(CursorPaginationStrategy):
    """Follows cursors in parsed bodies.

    ``CursorPagination``, the built-in, parses each response again, a tenth of the CPU time of a
    read of leads.
    """

    def __post_init__(self, parameters: Mapping[str, Any]) -> None:
        super().__post_init__(parameters)
        self.decoder = ParsedBodyDecoder()


class RepeatedPages(threading.local):
    """Notices lists that repeat themselves and would never end; a worker reads one at a time."""

    def __init__(self) -> None:
        self._known: set[int] = set()
        self._repetitions = 0

    def is_endless(self, stream: str, response: requests.Response, body: Mapping[str, Any]) -> bool:
        """Note a page, and return whether the list has repeated pages three times in a row."""
        cursor = body.get("cursor_next", body.get("cursor"))
        has_more = bool(cursor or body.get("has_more")) and "count" not in body
        sent = f"{response.url} {getattr(response.request, 'body', None)!r}"
        if not has_more or (cursor and "cursor" not in sent):  # the last or first page of a list
            self._known.clear()
            self._repetitions = 0
        if has_more:
            ids = [row["id"] for row in body.get("data", [])]
            page = hash((stream, _POSITION.sub("", response.url or ""), *ids))
            self._repetitions = self._repetitions + 1 if page in self._known else 0
            if not cursor:  # cursors may go in circles, but offsets may step back
                self._known.clear()
            self._known.add(page)
        return self._repetitions > _MAX_REPETITIONS

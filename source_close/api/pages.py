"""Page through lists: https://developer.close.com/api/overview/pagination.md."""

from collections.abc import Generator, Mapping
from typing import Any

import requests
from airbyte_cdk import CursorPaginationStrategy, JsonDecoder, OffsetIncrement

from source_close.api.responses import response_json


class OffsetPaginationStrategy(OffsetIncrement):
    """Reads until ``has_more`` is false, in pages that begin with the last row of the one before.

    ``OffsetIncrement`` stops at a page that is shorter than the page size, and its pages have no
    row in common, which would show that rows have moved meanwhile.
    """

    def next_page_token(self, response: requests.Response, *_: Any, **options: Any) -> int | None:
        """Return the next ``_skip``, or None at the end of the list."""
        body = response_json(response)
        last: int = options.get("last_page_token_value") or 0
        return last + max(len(body["data"]) - 1, 1) if body.get("has_more") else None


class ParsedBodyDecoder(JsonDecoder):
    """Returns the body of a response as it was parsed for the records."""

    def decode(self, response: requests.Response) -> Generator[dict[str, Any], None, None]:
        """Yield the body."""
        yield response_json(response)


class ParsedCursorPaginationStrategy(CursorPaginationStrategy):
    """Follows cursors in parsed bodies.

    ``CursorPagination``, the built-in, parses each response again, a tenth of the CPU time of a
    read of leads.
    """

    def __post_init__(self, parameters: Mapping[str, Any]) -> None:
        super().__post_init__(parameters)
        self.decoder = ParsedBodyDecoder(parameters)

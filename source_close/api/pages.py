"""Page through lists: https://developer.close.com/api/overview/pagination.md."""

from collections.abc import Generator, Mapping, Sequence
from typing import Any

import requests
from airbyte_cdk import CursorPaginationStrategy, JsonDecoder, OffsetIncrement

from source_close.api.responses import Row, response_json


class OffsetPaginationStrategy(OffsetIncrement):
    """Reads until ``has_more`` is false, in pages that begin with a row of the one before.

    ``OffsetIncrement`` stops at a page that is shorter than the page size, and its pages have no
    row in common, which would show that rows have moved meanwhile.
    """

    def next_page_token(self, response: requests.Response, *_: Any, **options: Any) -> int | None:
        """Return the next ``_skip``, or None at the end of the list."""
        body = response_json(response)
        last: int = options.get("last_page_token_value") or 0
        return last + _first_of_next_page(body["data"]) if body.get("has_more") else None


# The index of the row with which the next page begins: the last one. Rows of one moment may change
# places between two requests, so if a page ends with several, it is the row before them, unless
# that is the page's first. At least 1, so that each page leads further.
def _first_of_next_page(rows: Sequence[Row]) -> int:
    last = len(rows) - 1
    first = first_of_moment(rows, last)
    has_row_before_several = 1 < first < last
    return first - 1 if has_row_before_several else max(last, 1)


def first_of_moment(rows: Sequence[Row], index: int) -> int:
    """Return the index of the first of the rows up to ``index`` with the same ``date_created``."""
    while index > 0 and rows[index - 1].get("date_created") == rows[index].get("date_created", ""):
        index -= 1
    return index


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

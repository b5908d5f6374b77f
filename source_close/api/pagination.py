"""Page through lists by offset: https://developer.close.com/api/overview/pagination.md."""

from dataclasses import dataclass
from typing import Any

import requests
from airbyte_cdk import OffsetIncrement

from source_close.api.responses import response_json


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
        if not body.get("has_more"):
            return None
        last: int = options.get("last_page_token_value") or 0
        return last + max(len(body["data"]) - self.overlap, 1)

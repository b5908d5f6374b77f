"""Page through lists by offset: https://developer.close.com/api/overview/pagination.md."""

from typing import Any

import requests
from airbyte_cdk import OffsetIncrement

from source_close.api.error_handler import response_json


class OffsetPaginationStrategy(OffsetIncrement):
    """Reads pages until ``has_more`` is false. ``OffsetIncrement`` stops at a page shorter than the page size."""

    def next_page_token(self, response: requests.Response, *args: Any, **options: Any) -> str | None:
        """Return the next ``_skip`` or None, as text because the CDK takes the number 0 for the end."""
        body, last = response_json(response), int(options.get("last_page_token_value") or 0)
        return str(last + len(body["data"])) if body.get("has_more") else None

"""Notice lists that repeat themselves, and would never end."""

import re
import threading
from collections.abc import Mapping
from typing import Any

import requests

_MAX_REPETITIONS = 2
_POSITION = re.compile(r"_(skip|cursor)=[^&]*")


class RepeatedPages(threading.local):
    """The pages that a thread has read of its list. A worker reads one list at a time."""

    def __init__(self) -> None:
        self._known: set[int] = set()
        self._repetitions = 0

    def is_endless(self, stream: str, response: requests.Response, body: Mapping[str, Any]) -> bool:
        """Note a page, and return whether the list has repeated pages three times in a row."""
        cursor = body.get("cursor_next") or body.get("cursor")
        has_more = cursor or body.get("has_more")
        is_count = "count" in body
        if is_count or not has_more or (cursor and _is_first_page(response)):
            self._known.clear()
            self._repetitions = 0
        if is_count or not has_more:
            return False
        ids = [row["id"] for row in body.get("data") or []]
        page = hash((stream, _POSITION.sub("", response.url or ""), *ids))
        self._repetitions = self._repetitions + 1 if page in self._known else 0
        if not cursor:  # cursors may go in circles, but offsets may step back
            self._known.clear()
        self._known.add(page)
        return self._repetitions > _MAX_REPETITIONS


def _is_first_page(response: requests.Response) -> bool:
    body = getattr(response.request, "body", None)
    return "cursor" not in f"{response.url} {body!r}"

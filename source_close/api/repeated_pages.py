"""Notice lists that repeat themselves and would never end."""

import re
import threading
from collections.abc import Mapping
from typing import Any

import requests

_POSITION = re.compile(r"_(skip|cursor)=[^&]*")
_MAX_REPETITIONS = 2


class RepeatedPages(threading.local):
    """The pages that a worker has read of its list; it reads one list at a time.

    Attributes:
        first_request: that of the last list with cursors, which identifies a window.
        first_request_made_again: that of the last window that is read again, None before one is.
    """

    def __init__(self) -> None:
        self.first_request = ""
        self.first_request_made_again: str | None = None
        self._known: set[int] = set()
        self._repetitions = 0

    def is_endless(self, response: requests.Response, body: Mapping[str, Any]) -> bool:
        """Note a page, and return whether the list has repeated pages three times in a row."""
        cursor = body.get("cursor_next", body.get("cursor"))  # of events or of a search
        request = f"{response.url} {response.request.body!r}"
        if cursor and "cursor" not in request:
            self.first_request = request
            self._known.clear()  # a search may be made again
        ids = [row["id"] for row in body["data"]]
        # A page is known by its rows. Several without rows may follow each other, if their cursors
        # differ.
        page = hash((_POSITION.sub("", response.url), *(ids or [cursor])))
        has_more = bool(cursor or body.get("has_more"))
        is_repeated = has_more and page in self._known
        self._repetitions = self._repetitions + 1 if is_repeated else 0
        if not cursor:
            self._known.clear()  # offsets may step back: only the page before counts
        self._known.add(page)
        return self._repetitions > _MAX_REPETITIONS

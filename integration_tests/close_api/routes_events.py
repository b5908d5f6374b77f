"""`GET /event/`."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from bisect import bisect_left
from dataclasses import dataclass

import orjson

from .call import Call, list_response
from .errors import Response, plain
from .records import OPEN, Key, Order, Query, Window

_PAGE = 50
_ORDER: Order = ("updated",)


@dataclass(frozen=True)
class Cursor:
    """A position in the log, within the bounds of the query that returned it: the next page has the older events."""

    key: Key
    bounds: Window

    def text(self) -> str:
        """Return the opaque form that clients send back."""
        return urlsafe_b64encode(orjson.dumps([self.key, list(self.bounds)])).decode().rstrip("=")

    @classmethod
    def read(cls, text: str) -> "Cursor":
        """Return the cursor of a text; raise a 400 if the text is not a cursor."""
        try:
            (updated, tie, event_id), bounds = orjson.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            return cls((updated, tie, event_id), Window(*bounds))
        except (Base64Error, ValueError, TypeError):
            raise plain(400, "Invalid cursor.") from None


def events(call: Call) -> Response:
    """Handle `GET /event/`: a page of the log, newest `date_updated` first; `cursor_previous` is always null."""
    limit = min(call.count("_limit", _PAGE, None), _PAGE)
    text = call.value("_cursor")
    cursor = None if text is None else Cursor.read(text)
    bounds = _bounds(call, cursor)
    log = call.store.events
    window = bounds.meet(start=log.oldest_kept(call.now))
    rows = log.visible.select(Query(_ORDER, newest_first=True, updated=window))
    if cursor is not None:
        key = cursor.key
        # The newest rows are first, so the first row that is older than the cursor can be bisected.
        first = bisect_left(rows, True, key=lambda row: row.key(_ORDER) < key)
        rows = rows[first:]
    page = rows[:limit]
    older = None
    if page and len(rows) > limit:
        older = Cursor(page[-1].key(_ORDER), bounds).text()
    items = [log.shown(row, call.now) for row in page]
    return list_response(items, {"cursor_next": older, "cursor_previous": None})


def _bounds(call: Call, cursor: Cursor | None) -> Window:
    bounds = call.window("date_updated")
    if cursor is None:
        return bounds
    filter_with_cursor = call.settings.event_date_filter_with_cursor
    if bounds != OPEN and filter_with_cursor == "reject":
        raise plain(400, "date_updated can not be used together with _cursor.")
    if filter_with_cursor == "ignore":
        bounds = OPEN
    return bounds.meet(*cursor.bounds) if call.settings.event_cursor_keeps_bounds else bounds

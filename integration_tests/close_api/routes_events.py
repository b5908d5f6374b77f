"""`GET /event/`."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from dataclasses import dataclass

import orjson
from starlette.responses import Response

from .call import Call
from .errors import json_response, plain
from .records import Key, Query, Window

_PAGE = 50


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
            key, bounds = orjson.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            return cls((key[0], key[1], key[2]), Window(*bounds))
        except (Base64Error, ValueError, TypeError, IndexError, UnicodeEncodeError):
            raise plain(400, "Invalid cursor.") from None


def events(call: Call) -> Response:
    """Handle `GET /event/`: a page of the log, newest `date_updated` first; `cursor_previous` is always null."""
    limit = min(call.count("_limit", _PAGE, None), _PAGE)
    cursor = Cursor.read(text) if (text := call.value("_cursor")) else None
    bounds = _bounds(call, cursor)
    log = call.store.events
    hidden, where = call.visible()
    window = bounds.meet(start=log.oldest_kept(call.now))
    rows = log.visible.select(Query(order="-updated", updated=window, name=hidden, where=where))
    skip = 0 if cursor is None else len(rows) - rows.rank(cursor.key)
    found = rows.page(skip, limit)
    older = None
    if found and skip + len(found) < len(rows):
        older = Cursor(found[-1].key("updated"), bounds).text()
    items = b",".join(log.shown(one, call.now) for one in found)
    cursors = orjson.dumps({"cursor_next": older, "cursor_previous": None})[1:]
    return json_response(b'{"data":[' + items + b"]," + cursors)


def _bounds(call: Call, cursor: Cursor | None) -> Window:
    bounds = call.window("date_updated")
    if cursor is None:
        return bounds
    if not bounds.is_open:
        match call.settings.event_date_filter_with_cursor:
            case "reject":
                raise plain(400, "date_updated can not be used together with _cursor.")
            case "ignore":
                bounds = Window()
            case "honour":
                pass
    return bounds.meet(*cursor.bounds) if call.settings.event_cursor_keeps_bounds else bounds

"""`GET /event/` and `GET /event/{id}/`."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from dataclasses import dataclass

import orjson
from starlette.responses import Response

from .call import Call, trimmed
from .errors import json_response, plain
from .eventlog import FILTERS
from .records import Key, Query, Record, Span, Window

_LISTED = {
    frozenset(names.split())
    for names in (
        "",
        "object_type object_id",
        "object_type action",
        "object_id action",
        "lead_id object_type",
        "lead_id object_type action",
        "lead_id user_id object_type",
        "lead_id user_id object_type action",
        "lead_id user_id",
        "user_id object_id",
        "user_id object_id action",
        "user_id object_type",
        "user_id object_type action",
        "lead_id",
        "user_id",
        "request_id",
    )
}


@dataclass(frozen=True)
class Cursor:
    """A position in the log, within the bounds of the query that returned it.

    The next page has the events older than `key` if `older` is true, otherwise the newer events.
    """

    older: bool
    key: Key
    bounds: Window

    def text(self) -> str:
        """Return the opaque form that clients send back."""
        return urlsafe_b64encode(orjson.dumps([self.older, self.key, list(self.bounds)])).decode().rstrip("=")

    @classmethod
    def read(cls, text: str) -> "Cursor":
        """Return the cursor of a text; raise a 400 if the text is not a cursor."""
        try:
            older, key, bounds = orjson.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            return cls(older, (key[0], key[1], key[2]), Window(*bounds))
        except (Base64Error, ValueError, TypeError, IndexError, UnicodeEncodeError):
            raise plain(400, "Invalid cursor.") from None


def events(call: Call) -> Response:
    """Handle `GET /event/`: a page of the log, newest `date_updated` first."""
    settings = call.settings
    limit = min(call.count("_limit", settings.event_max_limit, None), settings.event_max_limit)
    cursor = Cursor.read(text) if (text := call.value("_cursor")) else None
    bounds = _bounds(call, cursor)
    oldest = call.store.events.oldest_kept(call.now)
    rows = call.store.events.visible.select(_query(call, bounds.meet(start=oldest)))
    skip, limit = _position(rows, cursor, limit)
    found = rows.page(skip, limit)
    older = newer = None
    if found and skip + len(found) < len(rows):
        older = Cursor(older=True, key=found[-1].key("updated"), bounds=bounds).text()
    if found and skip > 0:
        newer = Cursor(older=False, key=found[0].key("updated"), bounds=bounds).text()
    fields = call.fields()
    items = [_shown(call, one, fields) for one in found]
    cursors = orjson.dumps({"cursor_next": older, "cursor_previous": newer})[1:]
    return json_response(b'{"data":[' + b",".join(items) + b"]," + cursors)


def event(call: Call, event_id: str) -> Response:
    """Handle `GET /event/{id}/`: one event that is still kept."""
    record = call.store.events.visible.records.get(event_id)
    if record is None or record.updated < call.store.events.oldest_kept(call.now):
        raise plain(404, f"Empty query: No event found for id {event_id}")
    return json_response(_shown(call, record, call.fields()))


def _shown(call: Call, record: Record, fields: tuple[str, ...] | None) -> bytes:
    raw = call.store.events.shown(record, call.now)
    return raw if fields is None else orjson.dumps(trimmed(orjson.loads(raw), fields))


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


def _query(call: Call, bounds: Window) -> Query:
    filters = {name: value for name in FILTERS if (value := call.value(name))}
    if frozenset(filters) not in _LISTED:
        match call.settings.event_unlisted_filters:
            case "reject":
                raise plain(400, f"Unsupported combination of filters: {', '.join(sorted(filters))}.")
            case "ignore":
                filters = {}
            case "works":
                pass
    hidden = frozenset(call.settings.hidden_lead_ids)
    if not filters and not hidden:
        return Query(order="-updated", updated=bounds)
    index = call.store.events.index

    def where(record: Record) -> bool:
        facts = index[record.id]
        return facts["lead_id"] not in hidden and all(facts[name] == value for name, value in filters.items())

    return Query(order="-updated", updated=bounds, name=(frozenset(filters.items()), hidden), where=where)


def _position(rows: Span, cursor: Cursor | None, limit: int) -> tuple[int, int]:
    """Return the number of rows before the page, newest first, and the number of rows in the page."""
    if cursor is None:
        return 0, limit
    older_rows = rows.rank(cursor.key)
    if cursor.older:
        return len(rows) - older_rows, limit
    newer_rows = len(rows) - rows.rank((cursor.key[0], cursor.key[1], cursor.key[2] + "\0"))
    skip = max(newer_rows - limit, 0)
    return skip, newer_rows - skip

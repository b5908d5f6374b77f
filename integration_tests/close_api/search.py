"""`POST /data/search/` of leads."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import orjson

from .call import DEFAULT_LIMIT, Call, list_response, trimmed
from .errors import ApiError, Response, field_errors
from .records import OPEN, Json, Key, Order, Query, Record, Window
from .settings import Settings
from .times import SECOND, parse

_MOST_FIELDS = 100
# Close also sorts by other fields, which the connector does not use.
_STAMPS: dict[str, Literal["created", "updated"]] = {"date_created": "created", "date_updated": "updated"}


@dataclass(frozen=True)
class Chain:
    """The state of a chain of pages.

    `issued` is the time of its cursor, `rows` the whole result of the search that returned it, `given` the number of
    rows sent so far, and `last` the last of these rows.
    """

    issued: int
    rows: list[Record]
    given: int
    last: Record


def search(call: Call) -> Response:
    """Handle `POST /data/search/`: a page of results with the cursor of the next page."""
    body: Json = call.request.json
    settings = call.settings
    order = tuple(_sort_stamp(entry) for entry in body.get("sort") or [])
    limit = _limit(body, settings.max_limit["search"])
    names = _field_names(body.get("_fields"))
    chain = _chain(call, body.get("cursor"))
    query = Query(order, updated=_window(body.get("query")))
    unit = SECOND if settings.search_sort_precision == "second" else 1
    key = partial(_sort_key, order=order, unit=unit)
    rows = call.store.leads.visible.select(query)
    if unit > 1:
        rows = sorted(rows, key=key)
    start = 0
    given = 0
    if chain is not None:
        rows, start = _position(chain, rows, key, settings)
        given = chain.given
    page = rows[start : start + min(limit, settings.search_max_rows - given)]
    given += len(page)
    cursor = None
    has_more = bool(page) and start + len(page) < len(rows)
    if has_more and (given < settings.search_max_rows or settings.search_past_max_rows == "reject"):
        cursor = f"cursor-{len(call.store.search_chains) + 1}"
        call.store.search_chains[cursor] = Chain(call.now, rows, given, page[-1])
    shown = [{"__object_type": "lead"} | trimmed(record.data(), ("id", *names)) for record in page]
    return list_response([orjson.dumps(one) for one in shown], {"cursor": cursor})


def _sort_key(record: Record, order: Order, unit: int) -> Key:
    """Return what a lead is sorted by; its first stamp is cut to whole units."""
    first, *rest = record.key(order)
    return (first - first % unit, *rest)


def _position(
    chain: Chain, rows: list[Record], key: Callable[[Record], Key], settings: Settings
) -> tuple[list[Record], int]:
    """Return the rows of the chain, and the index of the next one; `rows` is the result of a search at this moment."""
    if chain.given >= settings.search_max_rows:
        raise field_errors({"cursor": "Too many results. Please refine your search query."})
    match settings.search_cursor:
        case "snapshot":
            return chain.rows, chain.given
        case "offset":
            return rows, chain.given
        case "after":
            return rows, sum(key(record) <= key(chain.last) for record in rows)


def _chain(call: Call, cursor: object) -> Chain | None:
    if not cursor:
        return None
    chain: Chain | None = call.store.search_chains.get(str(cursor))
    if chain is None or call.now - chain.issued > int(call.settings.search_cursor_life * SECOND):
        raise ApiError(400, {"field-errors": {"cursor": "Expired cursor"}})
    return chain


def _window(node: Any) -> Window:
    """Return the window of `date_updated` that a query demands; raise a 400 for any other condition."""
    match node:
        case {"type": "and", "queries": [*parts]}:
            window = OPEN
            for part in parts:
                window = window.meet(*_window(part))
            return window
        case {"type": "object_type", "object_type": "lead"}:
            return OPEN
        case {
            "type": "field_condition",
            "field": {"field_name": "date_updated"},
            "condition": {"type": "moment_range", **bounds},
        }:
            return Window(_moment(bounds.get("on_or_after")), _moment(bounds.get("before")))
    raise field_errors({"query": f"Unsupported query: {node}"})


def _moment(bound: Any) -> int | None:
    match bound:
        case None:
            return None
        case {"type": "fixed_utc", "value": str(text)}:
            return parse(text)
    raise field_errors({"query": f"Unsupported moment: {bound}"})


def _sort_stamp(entry: Json) -> Literal["created", "updated"]:
    match entry:
        case {"direction": "asc", "field": {"field_name": "date_created" | "date_updated" as name}}:
            return _STAMPS[name]
    raise field_errors({"sort": f"Unsupported sort: {entry}"})


def _field_names(fields: Any) -> list[str]:
    names: list[str] = (fields or {}).get("lead", [])
    if len(names) > _MOST_FIELDS:
        raise field_errors({"_fields": {"lead": "List is too long."}})
    return names


def _limit(body: Json, maximum: int) -> int:
    value: int = body.get("_limit", DEFAULT_LIMIT)
    if value > maximum:
        raise field_errors({"_limit": f"Input should be less than or equal to {maximum}"})
    return value

"""`POST /data/search/` of leads."""

from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Any

import orjson
from starlette.responses import Response

from .call import DEFAULT_LIMIT, Call, trimmed
from .errors import ApiError, field_errors, json_response, plain
from .records import OPEN, Json, Query, Record, Window
from .times import SECOND, parse

_MANY_CHAINS = 1_000
_MOST_FIELDS = 100
# Close also sorts by other fields, which the connector does not use.
_STAMPS = {"date_created": "created", "date_updated": "updated"}


@dataclass(frozen=True)
class Chain:
    """The state of a chain of pages.

    `issued` is the time of its cursor, `given` the number of rows sent so far, and `last` the last of these rows.
    `rows` is the whole result if the chain keeps it, otherwise None.
    """

    issued: int
    given: int
    last: Record
    rows: list[Record] | None


class Search:
    """Handles searches and keeps the cursors that it returned."""

    def __init__(self) -> None:
        self._chains: dict[str, Chain] = {}
        self._numbers = count(1)

    def answer(self, call: Call) -> Response:
        """Return a page of results with the cursor of the next page."""
        body = call.body
        if not isinstance(body, dict):
            raise plain(400, "The request contains invalid JSON.")
        request = _Request(call, body)
        chain = self._chain(call, body.get("cursor"))
        if chain is not None and chain.given >= request.most_rows:
            raise field_errors({"cursor": "Too many results. Please refine your search query."})
        rows, start = request.rows(chain)
        given = chain.given if chain else 0
        page = rows[start : start + max(min(request.limit, request.most_rows - given), 0)]
        cursor = orjson.dumps(self._next(request, chain, rows, start + len(page), page))
        items = b",".join(request.shown(record) for record in page)
        return json_response(b'{"data":[' + items + b'],"cursor":' + cursor + b"}")

    def _chain(self, call: Call, cursor: object) -> Chain | None:
        if not cursor:
            return None
        chain = self._chains.get(str(cursor))
        if chain is None or self._is_dead(call, chain):
            raise ApiError(400, {"field-errors": {"cursor": "Expired cursor"}})
        return chain

    @staticmethod
    def _is_dead(call: Call, chain: Chain) -> bool:
        return call.now - chain.issued > int(call.settings.search_cursor_life * SECOND)

    def _next(
        self, request: "_Request", chain: Chain | None, rows: list[Record], end: int, page: list[Record]
    ) -> str | None:
        given = (chain.given if chain else 0) + len(page)
        if not page or end >= len(rows) or (given >= request.most_rows and not request.goes_past):
            return None
        call = request.call
        if len(self._chains) > _MANY_CHAINS:
            self._chains = {one: kept for one, kept in self._chains.items() if not self._is_dead(call, kept)}
        kept = rows if call.settings.search_cursor == "snapshot" else None
        token = f"cursor-{next(self._numbers)}"
        self._chains[token] = Chain(call.now, given, page[-1], kept)
        return token


class _Request:
    """The parameters of one search request."""

    def __init__(self, call: Call, body: Json) -> None:
        self.call = call
        settings = call.settings
        self._query = body.get("query")
        self._sort = [_sort_stamp(one) for one in body.get("sort") or []]
        self._fields = _field_names(body.get("_fields"))
        self.limit = _limit(body, settings.max_limit["search"])
        self.most_rows = settings.search_max_rows
        self.goes_past = settings.search_past_max_rows == "reject"

    def rows(self, chain: Chain | None) -> tuple[list[Record], int]:
        """Return the whole result and the position in it where the page starts."""
        if chain is not None and chain.rows is not None:
            return chain.rows, chain.given
        rows = self._selected()
        if chain is None:
            return rows, 0
        if self.call.settings.search_cursor == "offset":
            return rows, chain.given
        last = _order_key(chain.last, self._sort)
        return rows, sum(1 for record in rows if not last < _order_key(record, self._sort))

    def shown(self, record: Record) -> bytes:
        """Return a row cut to the requested fields."""
        names = [name for name in self._fields if name not in self.call.settings.search_lacks]
        row = record.trimmed(("__object_type", *names), _row)
        form = self.call.settings.search_custom_values
        if form == "both":
            return row
        return orjson.dumps(_in_form(orjson.loads(row), form, self._field_names()))

    def _field_names(self) -> dict[str, str]:
        """Return the name of each custom field by the key of its value."""
        collections = self.call.store.collections
        definitions = [
            record.data()
            for name, collection in collections.items()
            if name.startswith("custom_field/")
            for record in collection.records.values()
        ]
        return {f"custom.{one['id']}": one["name"] for one in definitions}

    def _selected(self) -> list[Record]:
        call = self.call
        hidden, where = call.visible()
        name = (tuple(self._sort), hidden)
        query = Query(updated=_window(self._query), name=name, where=where, arrange=self._arranged)
        rows = call.store.leads.visible.select(query)
        return rows.page(0, len(rows))

    def _arranged(self, records: list[Record]) -> list[Record]:
        return sorted(records, key=lambda record: _order_key(record, self._sort))


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
            with suppress(ValueError):
                return parse(text)
    raise field_errors({"query": f"Unsupported moment: {bound}"})


def _order_key(record: Record, sort: list[str]) -> tuple[Any, ...]:
    return (*(getattr(record, stamp) for stamp in sort), record.tie, record.id)


def _sort_stamp(entry: Json) -> str:
    name = entry.get("field", {}).get("field_name")
    if name not in _STAMPS or entry.get("direction") != "asc":
        raise field_errors({"sort": f"Unsupported sort: {entry}"})
    return _STAMPS[name]


def _field_names(fields: Any) -> tuple[str, ...]:
    names = (fields or {}).get("lead", [])
    if len(names) > _MOST_FIELDS:
        raise field_errors({"_fields": {"lead": "List is too long."}})
    return tuple(names)


def _limit(body: Json, maximum: int) -> int:
    value = body.get("_limit", DEFAULT_LIMIT)
    if not isinstance(value, int) or value < 0:
        raise field_errors({"_limit": "Input should be a valid integer"})
    if value > maximum:
        raise field_errors({"_limit": f"Input should be less than or equal to {maximum}"})
    return value


def _row(data: Json, fields: tuple[str, ...]) -> Json:
    return {"__object_type": "lead"} | trimmed(data, ("id", *fields))


def _in_form(lead: Json, form: str, names: dict[str, str]) -> Json:
    """Return a lead whose custom values, and those of its contacts and opportunities, have another form."""
    parts = [lead, *lead.get("contacts", []), *lead.get("opportunities", [])]
    for part in parts:
        values = {name: part[name] for name in part if name.startswith("custom.")}
        part.pop("custom", None)
        if form != "by_id":
            for name in values:
                del part[name]
        if form == "by_name":
            part["custom"] = {names[name]: value for name, value in values.items()}
        if form == "by_id_in_custom":
            part["custom"] = {name.removeprefix("custom."): value for name, value in values.items()}
    return lead

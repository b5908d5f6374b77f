"""A mock of Close's Advanced Filtering: date ranges, ascending cursor chains and counts."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import datetime, timezone
from functools import cache
from typing import Any

import orjson
import requests_mock

from unit_tests.syncs import API, Row

ROWS_PER_CHAIN = 10_000


@cache
def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(timezone.utc)


class SearchApi:
    """A mock of the search in ``rows``, the index; ``as_sent`` turns an indexed row into the row of the response."""

    def __init__(self, api: requests_mock.Mocker, rows: list[Row]) -> None:
        self.rows = rows
        self.as_sent: Callable[[Row], Row] = dict
        self.expire_at: set[int] = set()
        self.bodies: list[Row] = []
        self._found: dict[bytes, list[Row]] = {}
        api.post(f"{API}/data/search/", json=self._respond)

    @property
    def counts(self) -> list[Row]:
        return [body for body in self.bodies if body.get("results_limit") == 0]

    @property
    def pages(self) -> list[Row]:
        return [body for body in self.bodies if body.get("results_limit") != 0]

    def _respond(self, request: Any, context: Any) -> Row:
        body = orjson.loads(request.body)
        self.bodies.append(body)
        assert len(self.bodies) < 2_000, "the read does not end"
        if body.get("cursor") and len(self.bodies) in self.expire_at:
            context.status_code = 400
            return {"errors": [], "field-errors": {"cursor": "Expired cursor"}}
        found = self._matching(body)
        if body.get("results_limit") == 0:
            return {"data": [], "cursor": None, "count": {"limited": min(len(found), 10_000), "total": len(found)}}
        first = int(base64.b64decode(body["cursor"])) if body.get("cursor") else 0
        last = min(first + body["_limit"], ROWS_PER_CHAIN)
        more = last < min(len(found), ROWS_PER_CHAIN)
        cursor = base64.b64encode(str(last).encode()).decode() if more else None
        return {"data": [self.as_sent(row) for row in found[first:last]], "cursor": cursor}

    def _matching(self, body: Row) -> list[Row]:
        key = orjson.dumps([body["query"], body["sort"]])
        if key not in self._found:
            found = self.rows
            for name, (start, end) in ranges(body).items():
                found = [row for row in found if moment(start) <= moment(row[name]) < moment(end)]
            by = [one["field"]["field_name"] for one in body["sort"]]
            self._found[key] = sorted(found, key=lambda row: (*(moment(row[name]) for name in by), row["id"]))
        return self._found[key]


def ranges(body: Row) -> dict[str, tuple[str, str]]:
    """Return the date range that a search requests for each field."""
    return {
        node["field"]["field_name"]: (node["condition"]["on_or_after"]["value"], node["condition"]["before"]["value"])
        for node in body["query"]["queries"]
        if node["type"] == "field_condition"
    }

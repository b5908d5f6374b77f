"""A list API in memory and a cursor, to drive a retriever without HTTP and in any order of work."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import cache
from typing import Any

from airbyte_cdk.models import FailureType
from airbyte_cdk.sources.connector_state_manager import ConnectorStateManager
from airbyte_cdk.sources.message import InMemoryMessageRepository
from airbyte_cdk.sources.streams.concurrent.cursor import CursorField

from source_close.components.retriever import CloseRetriever
from source_close.cursor import WindowCursor, WindowSlice
from source_close.errors import CloseApiError
from source_close.state import NOTHING_SAVED, StreamState
from source_close.windows import format_moment, parse_moment

START = datetime(2024, 1, 1, tzinfo=timezone.utc)
END = datetime(2026, 1, 1, tzinfo=timezone.utc)


def make_cursor(
    cursor_field: str = "date_created",
    *,
    start: datetime = START,
    end: datetime = END,
    saved: StreamState = NOTHING_SAVED,
    lookback: timedelta = timedelta(),
    retention: timedelta | None = None,
    partitions: list[dict[str, Any]] | None = None,
) -> WindowCursor:
    """A cursor over ``[start, end)`` whose messages go nowhere."""
    return WindowCursor(
        stream_name="activities",
        cursor_field=CursorField(cursor_field),
        start=start,
        end=end,
        lookback=lookback,
        retention=retention,
        saved=saved,
        partitions=partitions or [{}],
        message_repository=InMemoryMessageRepository(),
        state_manager=ConnectorStateManager(),
    )


@cache
def _moment(text: str) -> datetime:
    return parse_moment(text)


@dataclass
class ListApi:
    """An offset list of rows with a skip cap, in an order that stays the same but is unknown to the reader."""

    rows: list[dict[str, Any]]
    order: Callable[[dict[str, Any]], Any]
    cap: int | None = None
    names_cap: bool = True
    wording: str = "old"
    date_field: str = "date_created"
    whole_seconds: bool = False
    before_request: Callable[[], None] = lambda: None
    requests: list[dict[str, Any]] = field(default_factory=list)
    _listed: list[dict[str, Any]] = field(default_factory=list)
    _sorted: list[tuple[datetime, dict[str, Any]]] = field(default_factory=list)
    _found: dict[tuple[str, str, str], list[dict[str, Any]]] = field(default_factory=dict)

    def endpoint(self, requester: Any, stream: str, stream_slice: Any) -> str:
        """What takes the place of an ``Endpoint``: the stream's name."""
        return stream

    def fetch(
        self,
        endpoint: str,
        params: dict[str, Any],
        json: Any = None,
        path: str = "",
        *,
        is_list: bool = False,
    ) -> dict[str, Any]:
        """What ``Transport.fetch`` would return."""
        self.before_request()
        self.requests.append({**params, "path": path})
        assert len(self.requests) < 20_000, "reads for ever"
        skip, limit = params.get("_skip", 0), params.get("_limit", 100)
        if self.cap is not None and skip > self.cap:
            raise CloseApiError(
                message="400", failure_type=FailureType.system_error, status=400, text=self._cap_text(), stream=endpoint
            )
        found = self._filtered(params[f"{self.date_field}__gte"], params[f"{self.date_field}__lt"], path)
        return {"data": [dict(row) for row in found[skip : skip + limit]], "has_more": len(found) > skip + limit}

    def _filtered(self, start: str, end: str, path: str) -> list[dict[str, Any]]:
        """The rows in order; sorted anew only where they have changed, and filtered where the window is another."""
        if self.rows != self._listed:
            self._listed = list(self.rows)
            self._sorted = [(self._bound(row[self.date_field]), row) for row in sorted(self.rows, key=self.order)]
            self._found.clear()
        if (start, end, path) not in self._found:
            low, high = self._bound(start), self._bound(end)
            self._found[start, end, path] = [
                row for moment, row in self._sorted if low <= moment < high and (not path or row["_type"] == path)
            ]
        return self._found[start, end, path]

    def _bound(self, text: str) -> datetime:
        return self._cut(_moment(text))

    def _cut(self, moment: datetime) -> datetime:
        return moment.replace(microsecond=0) if self.whole_seconds else moment

    def _cap_text(self) -> str:
        if self.wording == "new":
            number = f" {self.cap}" if self.names_cap else " the maximum"
            return f'{{"errors": [], "field-errors": {{"_skip": "Input should be less than or equal to{number}"}}}}'
        number = f" (max_skip = {self.cap})" if self.names_cap else ""
        return f'{{"error": "The skip you set is larger than the maximum skip for this resource{number}."}}'


def read_all(retriever: CloseRetriever, cursor: WindowCursor, chooser: random.Random | None = None) -> list[str]:
    """Read every window, several at once if ``chooser`` picks who goes on; the ids in the order they came."""
    running: list[tuple[WindowSlice, Iterator[list[dict[str, Any]]]]] = []
    ids: list[str] = []
    while cursor._waiting or running:
        while cursor._waiting:
            window_slice = WindowSlice(cursor._waiting.popleft())
            running.append((window_slice, iter(retriever.read_pages(window_slice))))
        index = chooser.randrange(len(running)) if chooser else 0
        window_slice, pages = running[index]
        rows = next(pages, None)
        if rows is None:
            running.pop(index)
            cursor._open.remove(window_slice.window)
            continue
        cursor.saw(rows)
        ids.extend(row["id"] for row in rows)
    return ids


def row(number: int, moment: datetime, **more: Any) -> dict[str, Any]:
    """A row stamped ``moment``."""
    return {"id": f"acti_{number}", "date_created": format_moment(moment), "_type": "note/", **more}

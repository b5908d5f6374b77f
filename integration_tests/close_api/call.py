"""A request as the routes see it, with the helpers that all routes share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from starlette.responses import Response

from .errors import json_response, plain, too_large
from .make_leads import optional_fields
from .records import Json, Record, Span, Window
from .settings import Settings
from .store import Store
from .times import SECOND, parse

DEFAULT_LIMIT = 100


@dataclass(frozen=True)
class Call:
    """A request as the routes see it.

    `path` is the part after `/api/v1`. `query` contains the parameters of the URL and of `_params`. `body` is the JSON
    body, or None.
    """

    method: str
    path: str
    query: dict[str, str]
    body: Any
    store: Store
    now: int

    @property
    def settings(self) -> Settings:
        return self.store.settings

    def value(self, name: str) -> str | None:
        """Return a parameter; an empty parameter counts as absent."""
        return self.query.get(name) or None

    def values(self, name: str) -> tuple[str, ...] | None:
        """Return the comma-separated values of a parameter."""
        text = self.value(name)
        return None if text is None else tuple(text.split(","))

    def fields(self) -> tuple[str, ...] | None:
        """Return the names in `_fields`."""
        return self.values("_fields")

    def window(self, stamp: str) -> Window:
        """Return the window that the parameters `<stamp>__gt|gte|lt` set."""
        window = Window()
        for suffix in ("gt", "gte", "lt"):
            micros = self._moment(f"{stamp}__{suffix}")
            if micros is not None:
                # Windows are half-open, so the bound of `gt` moves up by one microsecond.
                moved = micros + 1 if suffix == "gt" else micros
                window = window.meet(start=moved) if suffix.startswith("g") else window.meet(end=moved)
        return window

    def _moment(self, name: str) -> int | None:
        text = self.value(name)
        if text is None:
            return None
        try:
            micros = parse(text)
        except ValueError:
            raise plain(400, f'{name} must be a date or date-time (got "{text}" instead).') from None
        return micros - micros % SECOND if self.settings.filter_precision == "second" else micros

    def visible(self) -> tuple[frozenset[str], Callable[[Record], bool] | None]:
        """Return the ids of the leads that the role may not see, and a test that excludes what belongs to them."""
        hidden = frozenset(self.settings.hidden_lead_ids)
        return hidden, self.store.is_visible if hidden else None

    def count(self, name: str, default: int, maximum: int | None) -> int:
        """Return `_skip` or `_limit` after a check against its maximum (inclusive)."""
        text = self.value(name)
        if text is None:
            return default
        if not text.isdecimal():
            raise plain(400, f'{name} must be a non-negative integer (got "{text}" instead).')
        if maximum is not None and int(text) > maximum:
            raise too_large(name, maximum, self.settings.error_wording)
        return int(text)

    def page(self, rows: Span, resource: str, *, with_total: bool = False) -> Response:
        """Return the list response with the page that `_skip` and `_limit` select."""
        limit = self.count("_limit", DEFAULT_LIMIT, self.settings.max_limit.get(resource))
        if self.value("id__in"):
            limit = min(limit, self.settings.rows_by_id or limit)
        skip = self.count("_skip", 0, self.settings.max_skip.get(resource))
        if self.settings.list_ties == "random":
            rows = rows.with_random_ties(Random(self.now))
        found = rows.page(skip, limit + 1)
        rest = [b'"has_more":true' if len(found) > limit else b'"has_more":false']
        if with_total:
            rest.append(b'"total_results":%d' % len(rows))
        return json_response(self.joined(found[:limit], *rest))

    def joined(self, records: Sequence[Record], *rest: bytes) -> bytes:
        """Return `{"data": […], …}` with the records cut to `_fields`, and with further JSON members."""
        fields = self.fields()
        items = [one.raw if fields is None else one.trimmed(fields, trimmed) for one in records]
        return b'{"data":[' + b",".join(items) + b"]" + b"".join(b"," + one for one in rest) + b"}"

    def single(self, record: Record | None) -> Response:
        """Return one object, or raise a 404."""
        if record is None or not self.store.is_visible(record):
            object_id = self.path.rstrip("/").rsplit("/", 1)[-1]
            raise plain(404, f"Empty query: No object found for id {object_id}")
        fields = self.fields()
        return json_response(record.raw if fields is None else record.trimmed(fields, trimmed))


def trimmed(data: Json, fields: tuple[str, ...]) -> Json:
    """Return an object cut to the named fields; names that it does not have are left out.

    `custom` keeps all custom values.
    """
    wanted = set(fields)
    if "contacts" in data and not wanted <= data.keys():
        data = data | optional_fields(data)
    all_custom = "custom" in wanted
    return {
        name: value for name, value in data.items() if name in wanted or (all_custom and name.startswith("custom."))
    }

"""A request as the routes see it, with the helpers that all routes share."""

from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from .errors import Response, json_response, plain, too_large
from .make_leads import optional_fields
from .records import Json, Record, Window
from .request import Request
from .settings import Settings
from .store import Store
from .times import SECOND, parse

DEFAULT_LIMIT = 100


@dataclass(frozen=True)
class Call:
    """A request, the data and the time in microseconds."""

    request: Request
    store: Store
    now: int

    @property
    def settings(self) -> Settings:
        return self.store.settings

    def value(self, name: str) -> str | None:
        """Return a parameter; an empty parameter counts as absent."""
        return self.request.query.get(name) or None

    def values(self, name: str) -> tuple[str, ...] | None:
        """Return the comma-separated values of a parameter."""
        text = self.value(name)
        return None if text is None else tuple(text.split(","))

    def window(self, stamp: str) -> Window:
        """Return the window that the parameters `<stamp>__gt|gte|lt` set."""
        after = self._moment(f"{stamp}__gt")
        # Windows are half-open, so the bound of `gt` moves up by one microsecond.
        window = Window(None if after is None else after + 1)
        return window.meet(self._moment(f"{stamp}__gte"), self._moment(f"{stamp}__lt"))

    def _moment(self, name: str) -> int | None:
        text = self.value(name)
        if text is None:
            return None
        try:
            micros = parse(text)
        except ValueError:
            raise plain(400, f'{name} must be a date or date-time (got "{text}" instead).') from None
        return micros - micros % SECOND if self.settings.filter_precision == "second" else micros

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

    def page(self, rows: Sequence[Record], resource: str, *, with_total: bool = False) -> Response:
        """Return the list response with the page that `_skip` and `_limit` select."""
        limit = self.count("_limit", DEFAULT_LIMIT, self.settings.max_limit.get(resource))
        if self.value("id__in"):
            limit = min(limit, self.settings.rows_by_id or limit)
        skip = self.count("_skip", 0, self.settings.max_skip.get(resource))
        rest: Json = {"has_more": len(rows) > skip + limit}
        if with_total:
            rest["total_results"] = len(rows)
        return self.listed(rows[skip : skip + limit], rest)

    def listed(self, records: Sequence[Record], rest: Json) -> Response:
        """Return `{"data": […], …}` with the records cut to `_fields`, and with the further members `rest`."""
        return list_response([self.shown(record) for record in records], rest)

    def shown(self, record: Record) -> bytes:
        """Return the JSON of a record, cut to `_fields`, with a lead's custom values in the form of the settings."""
        fields = self.values("_fields")
        if fields is None:
            return record.raw
        data = trimmed(record.data(), fields)
        if record.kind == "lead" and self.settings.lead_custom_values != "both":
            for part in (data, *data.get("contacts", []), *data.get("opportunities", [])):
                self._give_form(part)
        return orjson.dumps(data)

    def _give_form(self, part: Json) -> None:
        """Change the form of the custom values of a lead, contact or opportunity."""
        values = {name.removeprefix("custom."): part[name] for name in part if name.startswith("custom.")}
        part.pop("custom", None)
        form = self.settings.lead_custom_values
        if form != "by_id":
            for field_id in values:
                del part[f"custom.{field_id}"]
        if form == "by_id_in_custom":
            part["custom"] = values
        if form == "by_name":
            fields = {field_id: self.store.get(field_id) for field_id in values}
            part["custom"] = {field["name"]: values[field_id] for field_id, field in fields.items()}


def list_response(items: list[bytes], rest: Json) -> Response:
    """Return `{"data": […], …}` with the JSON of the items, and with the further members `rest`."""
    data = b'{"data":[' + b",".join(items) + b"]"
    more = b"," + orjson.dumps(rest)[1:] if rest else b"}"
    return json_response(data + more)


def trimmed(data: Json, fields: tuple[str, ...]) -> Json:
    """Return an object cut to the named fields; names that it does not have are left out.

    `custom` keeps all custom values.
    """
    wanted = set(fields)
    if "contacts" in data and not wanted <= data.keys():
        data = data | optional_fields(data)
    if "custom" in wanted:
        wanted.update(name for name in data if name.startswith("custom."))
    return {name: value for name, value in data.items() if name in wanted}

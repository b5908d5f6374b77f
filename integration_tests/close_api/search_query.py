"""Functions that turn the query tree of `POST /data/search/` into a test of records."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .errors import field_errors
from .records import Json, Record, Window
from .times import DAY, parse

Test = Callable[[Record], bool]

_STAMPS = {"date_created": "created", "date_updated": "updated"}
_TEXT_FIELDS = ("display_name", "name", "description")


@dataclass(frozen=True)
class Place:
    """The context of a search: the time zone of local dates and the owner of the key."""

    tz_offset_hours: float
    user_id: str


def bad_query(text: str) -> Exception:
    """Return the 400 for a query tree that the server does not understand."""
    return field_errors({"query": text})


def object_type_of(node: Json) -> str | None:
    """Return the object type that the tree selects, or None."""
    if node.get("type") == "object_type":
        found = node.get("object_type")
        return str(found)
    for child in node.get("queries", []):
        found = object_type_of(child)
        if found is not None:
            return found
    return None


def required_windows(node: Json, place: Place) -> dict[str, Window]:
    """Return windows of `created` and `updated` that contain every match, so that an index can be used."""
    windows = {"created": Window(), "updated": Window()}
    if node.get("negate"):
        return windows
    if node.get("type") == "and":
        for child in node.get("queries", []):
            for stamp, window in required_windows(child, place).items():
                windows[stamp] = windows[stamp].meet(*window)
    elif node.get("type") == "field_condition":
        field_stamp = _STAMPS.get(node.get("field", {}).get("field_name"))
        condition = node.get("condition", {})
        if field_stamp is not None and condition.get("type") == "moment_range":
            windows[field_stamp] = _moment_range(condition, place)
    return windows


def matcher(node: Json, place: Place) -> Test:
    """Return a test of whether a record matches a node of the tree."""
    test = _matcher(node, place)
    if node.get("negate"):
        return lambda record: not test(record)
    return test


def _matcher(node: Json, place: Place) -> Test:
    match node.get("type"):
        case "and":
            every = [matcher(child, place) for child in node.get("queries", [])]
            return lambda record: all(test(record) for test in every)
        case "or":
            either = [matcher(child, place) for child in node.get("queries", [])]
            return lambda record: any(test(record) for test in either)
        case "id":
            return lambda record: record.id == node.get("value")
        # The searched collection contains records of one object type only.
        case "object_type" | "match_all":
            return lambda _: True
        case "text":
            words = str(node.get("value", "")).lower().split()
            return lambda record: _has_words(record.data(), words)
        case "field_condition":
            return _field_condition(node, place)
        case other:
            raise bad_query(f"Unsupported query type: {other}")


def _has_words(data: Json, words: list[str]) -> bool:
    text = " ".join(str(data.get(name) or "") for name in _TEXT_FIELDS).lower()
    return all(word in text for word in words)


def _field_condition(node: Json, place: Place) -> Test:
    field, condition = node.get("field", {}), node.get("condition", {})
    is_custom = field.get("type") == "custom_field"
    name = f"custom.{field.get('custom_field_id')}" if is_custom else field.get("field_name")
    if not isinstance(name, str):
        raise bad_query("A field_condition needs a field.")
    if condition.get("type") == "moment_range":
        window = _moment_range(condition, place)
        stamp = _STAMPS.get(name)
        if stamp is not None:
            return lambda record: getattr(record, stamp) in window
        return lambda record: any(parse(one) in window for one in _values(record.data(), name))
    accepts = _value_test(condition, place)
    return lambda record: any(accepts(one) for one in _values(record.data(), name))


def _values(data: Json, name: str) -> list[Any]:
    value = data.get(name)
    if name == "addresses_count":
        value = len(data.get("addresses", []))
    if value is None or value == "":
        return []
    return value if isinstance(value, list) else [value]


def _value_test(condition: Json, place: Place) -> Callable[[Any], bool]:
    kind = condition.get("type")
    test = _VALUE_TESTS.get(str(kind))
    if test is None:
        raise bad_query(f"Unsupported condition type: {kind}")
    return lambda value: test(value, condition, place)


def _has_text(value: Any, condition: Json, _: Place) -> bool:
    words = str(condition.get("value", "")).lower().split()
    return all(word in str(value).lower() for word in words)


def _in_range(value: float, condition: Json, _: Place) -> bool:
    low, low_or_equal = condition.get("gt"), condition.get("gte")
    high, high_or_equal = condition.get("lt"), condition.get("lte")
    return (
        (low is None or value > low)
        and (low_or_equal is None or value >= low_or_equal)
        and (high is None or value < high)
        and (high_or_equal is None or value <= high_or_equal)
    )


_VALUE_TESTS: dict[str, Callable[[Any, Json, Place], bool]] = {
    "exists": lambda *_: True,
    "boolean": lambda value, condition, _: value is condition.get("value"),
    "current_user": lambda value, _, place: bool(value == place.user_id),
    "term": lambda value, condition, _: value in condition.get("values", []),
    "reference": lambda value, condition, _: value in condition.get("object_ids", []),
    "text": _has_text,
    "number_range": _in_range,
}


def _moment_range(condition: Json, place: Place) -> Window:
    return Window(_moment(condition.get("on_or_after"), place), _moment(condition.get("before"), place))


def _moment(bound: Json | None, place: Place) -> int | None:
    if bound is None:
        return None
    try:
        match bound.get("type"):
            case "fixed_utc":
                return parse(bound["value"])
            case "fixed_local_date":
                day = parse(bound["value"], place.tz_offset_hours)
                return day + DAY if bound.get("which") == "end" else day
            case other:
                raise bad_query(f"Unsupported moment type: {other}")
    except (KeyError, ValueError, TypeError):
        raise bad_query(f"Not a moment: {bound.get('value')}") from None

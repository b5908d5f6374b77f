"""The part of the query tree of `POST /data/search/` that the local API knows."""

from .errors import field_errors
from .records import Json, Window
from .times import parse

_STAMPS = {"date_created": "created", "date_updated": "updated"}


def bad_query(text: str) -> Exception:
    """Return the 400 for a query tree that the server does not understand."""
    return field_errors({"query": text})


def required_windows(node: Json) -> dict[str, Window]:
    """Return the windows of `created` and `updated` that the tree demands; raise a 400 for any other condition."""
    windows = {"created": Window(), "updated": Window()}
    match node.get("type"):
        case "and":
            for child in node.get("queries", []):
                for stamp, window in required_windows(child).items():
                    windows[stamp] = windows[stamp].meet(*window)
        case "field_condition":
            windows[_stamp(node)] = _moment_range(node.get("condition", {}))
        case "object_type" if node.get("object_type") == "lead":
            pass
        case other:
            raise bad_query(f"Unsupported query: {other} {node.get('object_type', '')}")
    return windows


def _stamp(node: Json) -> str:
    name = node.get("field", {}).get("field_name")
    if name not in _STAMPS:
        raise bad_query(f"Unsupported field: {name}")
    return _STAMPS[name]


def _moment_range(condition: Json) -> Window:
    if condition.get("type") != "moment_range":
        raise bad_query(f"Unsupported condition type: {condition.get('type')}")
    return Window(_moment(condition.get("on_or_after")), _moment(condition.get("before")))


def _moment(bound: Json | None) -> int | None:
    if bound is None:
        return None
    if bound.get("type") != "fixed_utc":
        raise bad_query(f"Unsupported moment type: {bound.get('type')}")
    try:
        return parse(bound["value"])
    except (KeyError, ValueError, TypeError):
        raise bad_query(f"Not a moment: {bound.get('value')}") from None

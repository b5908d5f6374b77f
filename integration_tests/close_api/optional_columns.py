"""Values of columns on which nothing depends, from the list of Close's columns and their types."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from .maker import Maker
from .records import Json
from .times import SECOND, iso

_LIST = Path(__file__).parents[2] / "unit_tests" / "columns.yaml"
_IS_DATE = re.compile(r"(^|_)date(_|$)|_at$|_time$|timestamp$")

CONTACTS = "leads.contacts[]"
OPPORTUNITIES = "leads.opportunities[]"


@cache
def _columns() -> Json:
    columns: Json = yaml.safe_load(_LIST.read_text())
    return columns


@cache
def _tree(place: str) -> Json:
    """Return the columns of a place such as `leads.contacts[]` as a tree.

    The node of a column has its type as the entry "", the entries of a list as "[]", and the columns of an object.
    """
    stream, *above = _parts(place)
    root: Json = {}
    for path, types in _columns()[stream].items():
        node = root
        for part in _parts(path):
            node = node.setdefault(part, {})
        node[""] = types if isinstance(types, str) else types[0]
    for part in above:
        root = root[part]
    return root


def _parts(path: str) -> list[str]:
    return re.findall(r"\[\]|[^.\[\]]+", path)


def optional(maker: Maker, place: str, names: str, share: float = 0.3) -> Json:
    """Return these columns of a place, each with a value in about `share` of all calls, otherwise null or empty."""
    found: Json = {}
    for name in names.split():
        node = _tree(place)[name]
        if maker.chance(share):
            found[name] = _value(maker, name, node)
        else:
            found[name] = [] if node[""] == "array" else None
    return found


def _value(maker: Maker, name: str, node: Json) -> Any:
    match node[""]:
        case "array":
            return [_value(maker, name, node["[]"]) if "[]" in node else maker.phrase()]
        case "object":
            inner = {column: _value(maker, column, below) for column, below in node.items() if column}
            return inner or {maker.id("key"): maker.phrase()}
        case "boolean":
            return maker.chance(0.5)
        case "integer":
            return maker.number(0, 1_800)
        case "number":
            return maker.number(0, 9_999) / 4
        case _:
            return _text(maker, name)


def _text(maker: Maker, name: str) -> str:
    if name == "close_date":
        return maker.date(maker.day())
    if _IS_DATE.search(name):
        return iso(maker.day() + maker.number(0, 86_399) * SECOND)
    if name.endswith("phone"):
        return maker.phone()
    if name.endswith(("id", "ids")):
        return maker.id(name.removesuffix("_id"))
    return maker.phrase()

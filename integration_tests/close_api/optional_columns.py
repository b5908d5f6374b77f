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
def _types() -> dict[str, str]:
    """Return the type of each column by its path, such as `leads.contacts[].name`."""
    columns: dict[str, Json] = yaml.safe_load(_LIST.read_text())
    found: dict[str, str] = {}
    for stream, paths in columns.items():
        for path, types in paths.items():
            found[f"{stream}.{path}"] = types if isinstance(types, str) else types[0]
    return found


@cache
def _names_in(path: str) -> list[str]:
    """Return the names of the columns of an object."""
    inside = [one.removeprefix(f"{path}.") for one in _types() if one.startswith(f"{path}.")]
    return [name for name in inside if name.isidentifier()]


def optional(maker: Maker, place: str, names: str, share: float = 0.3) -> Json:
    """Return these columns of a place, each with a value in about `share` of all calls, otherwise null or empty."""
    found: Json = {}
    for name in names.split():
        path = f"{place}.{name}"
        if maker.chance(share):
            found[name] = _value(maker, path)
        else:
            found[name] = [] if _types()[path] == "array" else None
    return found


def _value(maker: Maker, path: str) -> Any:
    match _types()[path]:
        case "array":
            entry = f"{path}[]"
            return [_value(maker, entry) if entry in _types() else maker.phrase()]
        case "object":
            inner = {name: _value(maker, f"{path}.{name}") for name in _names_in(path)}
            return inner or {maker.id("key"): maker.phrase()}
        case "boolean":
            return maker.chance(0.5)
        case "integer":
            return maker.number(0, 1_800)
        case "number":
            return maker.number(0, 9_999) / 4
        case _:
            return _text(maker, path.rpartition(".")[2].rstrip("[]"))


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

"""The local API returns every column that Close is known to return, with values of its type."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from integration_tests.close_api import LocalCloseApi, Volumes
from integration_tests.close_api.kinds import CUSTOM_FIELD_OBJECTS

from .conftest import Client

Json = dict[str, Any]
Found = dict[str, set[str]]

_VOLUMES = Volumes(activities=1_500, leads=150, tasks=270, events=300, users=20, custom_fields=20)
_ROOT = Path(__file__).parents[3]
_COLUMNS = yaml.safe_load((_ROOT / "unit_tests" / "columns.yaml").read_text())
_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
# Close returns transcripts only on request. The local API has none.
_ON_REQUEST = ("recording_transcript", "voicemail_transcript")


def _collect(value: Any, path: str, found: Found) -> None:
    """Add the types of a value and of everything inside it."""
    if value is None:
        return
    found.setdefault(path, set()).add(_TYPES[type(value)])
    if isinstance(value, list):
        for one in value:
            _collect(one, f"{path}[]", found)
    if isinstance(value, dict):
        for name, inner in value.items():
            _collect(inner, f"{path}.{name}", found)


def _types_of(rows: Iterable[Json]) -> Found:
    found: Found = {}
    for row in rows:
        for name, value in row.items():
            if not name.startswith("custom."):
                _collect(value, name, found)
    return found


def _pages(client: Client, path: str, **params: Any) -> Iterator[Json]:
    skip = 0
    more = True
    while more:
        page = client.json(path, _limit=100, _skip=skip, **params)
        yield from page["data"]
        skip += len(page["data"])
        more = page["has_more"]


def _custom_fields(client: Client) -> Iterator[Json]:
    for object_type in CUSTOM_FIELD_OBJECTS:
        yield from client.json(f"/custom_field/{object_type}/")["data"]


def _events(client: Client) -> Iterator[Json]:
    cursor = ""
    while cursor is not None:
        page = client.json("/event/", _cursor=cursor)
        yield from page["data"]
        cursor = page["cursor_next"]


def _leads(client: Client) -> Iterator[Json]:
    names = [name for name in _COLUMNS["leads"] if "." not in name and "[" not in name]
    answer = client.search(_fields={"lead": names}, _limit=200)
    for row in answer["data"]:
        yield {name: value for name, value in row.items() if name != "__object_type"}


def _change(api: LocalCloseApi) -> None:
    """Make the changes whose columns generated data does not have."""
    store = api.store
    store.add("custom_field.lead", type="number", converting_to_type="text")
    source = store.add("lead")["id"]
    destination = store.add("lead")["id"]
    store.merge(source, destination)


@pytest.fixture(scope="module")
def found() -> Iterator[dict[str, Found]]:
    """Yield the types of all values in the API's responses, by stream and path."""
    with LocalCloseApi(_VOLUMES) as api:
        _change(api)
        client = Client(api)
        yield {
            "activities": _types_of(_pages(client, "/activity/")),
            "custom_fields": _types_of(_custom_fields(client)),
            "event_log": _types_of(_events(client)),
            "leads": _types_of(_leads(client)),
            "tasks": _types_of(_pages(client, "/task/", _type="all")),
            "users": _types_of(_pages(client, "/user/")),
        }
        client.session.close()


def _fits(types: set[str], known: str | list[str]) -> bool:
    allowed = {known} if isinstance(known, str) else set(known)
    if "number" in allowed:
        allowed.add("integer")
    return types <= allowed


@pytest.mark.parametrize("stream", _COLUMNS)
def test_every_known_column_occurs_with_a_value(found: dict[str, Found], stream: str) -> None:
    known = [path for path in _COLUMNS[stream] if not path.startswith(_ON_REQUEST)]
    missing = [path for path in known if path not in found[stream]]
    assert not missing, f"The local API never returns a value of these columns of {stream}: {missing}"


@pytest.mark.parametrize("stream", _COLUMNS)
def test_the_values_of_known_columns_have_the_known_types(found: dict[str, Found], stream: str) -> None:
    known = _COLUMNS[stream]
    wrong = {path: types for path, types in found[stream].items() if path in known and not _fits(types, known[path])}
    assert not wrong, f"The local API returns other types in these columns of {stream}: {wrong}"


@pytest.mark.parametrize("stream", _COLUMNS)
def test_there_are_no_columns_that_close_does_not_have(found: dict[str, Found], stream: str) -> None:
    names = {path for path in found[stream] if "." not in path and "[" not in path}
    unknown = names - set(_COLUMNS[stream])
    assert not unknown, f"The local API returns columns of {stream} that Close is not known to have: {unknown}"

"""The local API returns every column that Close is known to return, with values of its type."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from integration_tests.close_api import LocalCloseApi, Settings, Volumes
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
    lead_columns = [name for name in _COLUMNS["leads"] if "." not in name and "[" not in name]
    with LocalCloseApi(_VOLUMES, settings=Settings(max_limit={"search": 1_000})) as api:
        _change(api)
        client = Client(api)
        fields = [client.json(f"/custom_field/{object_type}/", _limit=100) for object_type in CUSTOM_FIELD_OBJECTS]
        leads = client.search(_fields={"lead": lead_columns}, _limit=1_000)["data"]
        for lead in leads:
            del lead["__object_type"]
        yield {
            "activities": _types_of(client.json("/activity/", _limit=10_000)["data"]),
            "custom_fields": _types_of(field for one in fields for field in one["data"]),
            "event_log": _types_of(event.data() for event in api.store.events.visible.records.values()),
            "leads": _types_of(leads),
            "tasks": _types_of(client.json("/task/", _type="all", _limit=10_000)["data"]),
            "users": _types_of(client.json("/user/")["data"]),
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

"""The recipe in CONTRIBUTING.md, read from that page: a stream without a cursor, and the same stream with a cursor."""

import re

import pytest
import yaml
from airbyte_cdk.models import Status, SyncMode
from requests_mock import ANY, Mocker

from source_close.source import SourceClose, load_manifest
from unit_tests.syncs import API, DEFINED, KEY, LOGGER, ROOT, Row, leads, read_with_positions, requested

RECIPE = (ROOT / "CONTRIBUTING.md").read_text().split("## A seventh stream")[1].split("\n## ")[0]
STREAM, CHECK, SCHEMA = re.findall(r"```yaml\n(.*?)```", RECIPE, flags=re.DOTALL)
NAME = "lead_statuses"
CONFIG = {"api_key": KEY, "start_date": "2025-06-14"}
STAMPS = {"date_created": "2025-06-15T09:00:00+00:00", "date_updated": "2025-06-15T10:00:00+00:00"}
STATUSES = [{"id": f"stat_{number}", "label": f"Status {number}", "color": "blue"} for number in range(3)]

pytestmark = pytest.mark.skipif(NAME in DEFINED, reason="the manifest already has the stream of the recipe")


@pytest.fixture(autouse=True)
def manifest(api: Mocker, monkeypatch: pytest.MonkeyPatch) -> Row:
    """Return the manifest with the three parts of the recipe, which the source takes."""
    api.get(ANY, json={"data": [{"id": "x_1", **STAMPS}], "has_more": False, "cursor_next": None})
    leads(api, {"json": {"data": [{"id": "lead_1", **STAMPS}], "cursor": None}})
    api.get(f"{API}/status/lead/", json={"data": STATUSES, "has_more": False})
    manifest = load_manifest()
    manifest["streams"] += yaml.safe_load(STREAM)
    manifest["check"]["stream_names"] += yaml.safe_load(CHECK)
    manifest["schemas"] |= yaml.safe_load(SCHEMA)
    monkeypatch.setattr("source_close.source.load_manifest", lambda: manifest)
    return manifest


def test_the_stream_is_checked_and_discovered_as_full_refresh_with_its_key_and_columns(api: Mocker) -> None:
    assert SourceClose().check(LOGGER, CONFIG).status == Status.SUCCEEDED
    assert requested(api, "/status") == ["/status/lead/?_limit=1000&_skip=0"]
    found = SourceClose().discover(LOGGER, CONFIG).streams
    assert [stream.name for stream in found] == [*DEFINED, NAME]
    assert found[-1].supported_sync_modes == [SyncMode.full_refresh]
    assert found[-1].source_defined_primary_key == [["id"]]
    assert list(found[-1].json_schema["properties"]) == ["id", "label", "color", "organization_id"]


def test_every_sync_reads_the_whole_stream(api: Mocker) -> None:
    first = read_with_positions(NAME, whole=[NAME], whole_manifest=True)
    state = {NAME: first.states(NAME)[-1]}
    again = read_with_positions(NAME, state=state, whole=[NAME], whole_manifest=True)
    for reading in (first, again):
        assert reading.error == ""
        assert reading.records == STATUSES
        assert reading.statuses == {NAME: "COMPLETE"}
    assert requested(api) == ["/status/lead/?_limit=1000&_skip=0"] * 2


def test_a_later_sync_with_a_cursor_emits_changed_records(manifest: Row, api: Mocker) -> None:
    """The stream has a cursor as the last sentence of the recipe says."""
    [stream] = [one for one in manifest["streams"] if one["$parameters"]["name"] == NAME]
    stream["$parameters"]["cursor_field"] = "date_updated"
    stream["incremental_sync"] = {"$ref": "#/definitions/shared/whole_list_cursor"}
    rows = [
        {"id": "stat_1", "date_updated": "2025-05-01T00:00:00.000000+00:00"},
        {"id": "stat_2", "date_updated": "2025-06-02T00:00:00.000000+00:00"},
    ]
    api.get(f"{API}/status/lead/", json={"data": rows, "has_more": False})
    first = read_with_positions(NAME, whole_manifest=True)
    assert first.error == ""
    assert first.ids == ["stat_1", "stat_2"]
    state = first.states(NAME)[-1]
    assert state == {"date_updated": "2025-06-02T00:00:00.000000+00:00"}
    assert read_with_positions(NAME, state={NAME: state}, whole_manifest=True).ids == ["stat_2"]

"""`make test-tools`: the manifest in Airbyte's own tools, with a plain user config.

`source-declarative-manifest`, the Connector Builder's runner and the CDK's manifest server come with airbyte-cdk. They
run custom components only if `AIRBYTE_ENABLE_UNSAFE_CODE` is set. The tools are installed in build/tools.
"""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from integration_tests.close_api import LocalCloseApi, Volumes
from integration_tests.harness.fixtures import MakeApi
from integration_tests.harness.moments import DAY, now, text
from integration_tests.harness.postgres_server import free_port
from integration_tests.harness.running import KEY, PROJECT, STREAMS, Connector
from integration_tests.harness.truth import assert_check_discover_and_read_succeed, ids, requests_of
from source_close.source import load_manifest

BIN = PROJECT / "build" / "tools" / "bin"
ALLOWED = {"AIRBYTE_ENABLE_UNSAFE_CODE": "true", "DD_TRACE_ENABLED": "false"}
VOLUMES = Volumes(activities=250, leads=60, tasks=120, events=80, users=9, custom_fields=6)


@pytest.fixture
def api(make_api: MakeApi) -> LocalCloseApi:
    return make_api(VOLUMES, end=now())


@pytest.fixture
def config(api: LocalCloseApi) -> dict[str, Any]:
    return {"api_key": KEY, "base_url": api.url, "start_date": text(now() - 400 * DAY)}


@pytest.fixture
def declarative(config: dict[str, Any], tmp_path: Path) -> Connector:
    """Return `source-declarative-manifest` with the manifest injected into the config."""
    injected = {**config, "__injected_declarative_manifest": load_manifest()}
    return Connector(injected, tmp_path, ALLOWED, command=BIN / "source-declarative-manifest")


def ids_in(test_read: dict[str, Any]) -> set[str]:
    """Return the ids of the records of all pages of a test read."""
    found = set()
    for part in test_read["slices"]:
        for page in part["pages"]:
            found |= {row["id"] for row in page["records"]}
    return found


def test_source_declarative_manifest_runs_check_discover_and_two_reads(
    api: LocalCloseApi, declarative: Connector
) -> None:
    first = assert_check_discover_and_read_succeed(api, declarative)
    note = api.store.add("Note", lead_id=None)["id"]
    assert note in declarative.sync(state=first.states).ids("activities")


def test_the_error_names_the_variable_that_allows_custom_code(declarative: Connector) -> None:
    declarative.environment = {}
    assert "set the `AIRBYTE_ENABLE_UNSAFE_CODE` environment variable" in declarative.check().output


def test_the_connector_builder_resolves_the_manifest_and_runs_a_test_read(
    api: LocalCloseApi, declarative: Connector
) -> None:
    """The command is in the config, as the service of the Connector Builder passes it."""
    declarative.command = BIN / "python"
    limits = {"max_streams": 6, "max_slices": 3, "max_pages_per_slice": 2, "max_records": 50}
    responses = {}
    for command, streams in (("resolve_manifest", []), ("test_read", ["users"])):
        declarative.config |= {"__command": command, "__test_read_config": limits}
        arguments = declarative.read_arguments(streams, None)
        result = declarative.run("-m", "airbyte_cdk.connector_builder.main", *arguments)
        assert result.exit_code == 0
        responses[command] = result.of("RECORD")[-1]["data"]
    assert [stream["name"] for stream in responses["resolve_manifest"]["manifest"]["streams"]] == list(STREAMS)
    assert ids_in(responses["test_read"]) == ids(api, "users")


@pytest.fixture
def server() -> Iterator[str]:
    """Run the manifest server on a free port of the loopback interface; yield the base URL of its API."""
    port = free_port()
    command = [str(BIN / "python"), "-m", "uvicorn", "airbyte_cdk.manifest_server.app:app", "--port", str(port)]
    with subprocess.Popen(command, env={**os.environ, **ALLOWED}, stderr=subprocess.DEVNULL) as process:
        try:
            yield f"http://127.0.0.1:{port}/v1/manifest"
        finally:
            process.terminate()


def test_the_manifest_server_runs_check_discover_resolve_and_a_test_read(
    api: LocalCloseApi, config: dict[str, Any], server: str
) -> None:
    def post(endpoint: str, **body: Any) -> Any:
        deadline = time.monotonic() + 30
        while True:
            try:
                response = requests.post(f"{server}/{endpoint}", json={"manifest": load_manifest(), **body}, timeout=60)
            except requests.ConnectionError:  # the server has not started yet
                assert time.monotonic() < deadline
                continue
            assert response.status_code == 200, response.text
            return response.json()

    assert post("check", config=config) == {"success": True, "message": None}
    found = post("discover", config=config)
    assert {stream["name"] for stream in found["catalog"]["streams"]} == set(STREAMS)
    assert [stream["name"] for stream in post("resolve")["manifest"]["streams"]] == list(STREAMS)
    read = post("test_read", config=config, stream_name="users")
    assert ids_in(read) == ids(api, "users")
    assert requests_of(api, "/user/")

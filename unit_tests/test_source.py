"""The source: made with nothing or everything, its commands, and what it relies on inside the CDK."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import requests_mock
from airbyte_cdk.models import (
    AirbyteStream,
    AirbyteStreamStatus,
    ConfiguredAirbyteCatalog,
    ConfiguredAirbyteStream,
    DestinationSyncMode,
    FailureType,
    Status,
    SyncMode,
)
from airbyte_cdk.sources.connector_state_manager import ConnectorStateManager
from airbyte_cdk.sources.declarative.concurrent_declarative_source import ConcurrentDeclarativeSource
from airbyte_cdk.sources.declarative.parsers.model_to_component_factory import ModelToComponentFactory
from airbyte_cdk.sources.message.concurrent_repository import ConcurrentMessageRepository
from airbyte_cdk.test.entrypoint_wrapper import EntrypointOutput
from airbyte_cdk.test.entrypoint_wrapper import read as read_by_entrypoint
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from requests_mock import ANY

from source_close.page_queue import PageQueue
from source_close.source import _LONGEST_QUEUE, SourceClose, load_manifest
from unit_tests.streams import API, KEY, source

LOGGER = logging.getLogger("airbyte")
STREAMS = ["activities", "custom_fields", "event_log", "leads", "tasks", "users"]
KINDS = ["lead", "contact", "opportunity", "activity", "custom_object_type", "shared"]


def catalog(*streams: str) -> ConfiguredAirbyteCatalog:
    return ConfiguredAirbyteCatalog(
        streams=[
            ConfiguredAirbyteStream(
                stream=AirbyteStream(
                    name=name, json_schema={}, supported_sync_modes=[SyncMode.full_refresh, SyncMode.incremental]
                ),
                sync_mode=SyncMode.incremental,
                destination_sync_mode=DestinationSyncMode.append_dedup,
            )
            for name in streams
        ]
    )


def answer_everything(mock: requests_mock.Mocker) -> None:
    """One record in every stream."""
    stamps = {"date_created": "2025-06-01T00:00:00+00:00", "date_updated": "2025-06-01T00:00:00+00:00"}
    mock.get(f"{API}/me/", json={"id": "user_1"})
    for path, row_id in (("activity", "acti_1"), ("task", "task_1"), ("user", "user_1")):
        mock.get(f"{API}/{path}/", json={"data": [{"id": row_id, **stamps}], "has_more": False})
    for kind in KINDS:
        fields = [{"id": f"cf_{kind}", "name": kind, "type": "text", **stamps}]
        mock.get(f"{API}/custom_field/{kind}/", json={"data": fields})
    mock.get(f"{API}/event/", json={"data": [], "cursor_next": None})
    mock.post(f"{API}/data/search/", json={"data": [{"id": "lead_1", **stamps}], "cursor": None})


def run(*streams: str, expecting_exception: bool = False, **config: Any) -> EntrypointOutput:
    made = source(start_date="2025-01-01", **config)
    return read_by_entrypoint(made, {"api_key": KEY}, catalog(*streams), expecting_exception=expecting_exception)


def ids(output: EntrypointOutput) -> list[str]:
    return sorted(message.record.data["id"] for message in output.records if message.record is not None)


def failures(output: EntrypointOutput) -> dict[str, tuple[str, str]]:
    """Failure type and message by stream."""
    errors = [message.trace.error for message in output.trace_messages if message.trace and message.trace.error]
    return {
        error.stream_descriptor.name: (error.failure_type.value if error.failure_type else "", error.message)
        for error in errors
        if error.stream_descriptor is not None
    }


def test_the_cdk_still_has_what_the_source_relies_on() -> None:
    made = source()
    assert isinstance(made, ConcurrentDeclarativeSource)
    queue = made._concurrent_source._queue
    assert isinstance(queue, PageQueue)
    assert queue.maxsize == _LONGEST_QUEUE
    assert isinstance(made._constructor, ModelToComponentFactory)
    assert isinstance(made._message_repository, ConcurrentMessageRepository)
    assert made._message_repository._queue is queue
    assert isinstance(made._connector_state_manager, ConnectorStateManager)
    assert made._config["api_key"] == KEY


def test_the_plain_source_has_those_attributes_too() -> None:
    """Else the test above would only see what this connector sets itself."""
    plain = ConcurrentDeclarativeSource(
        catalog=None, config={"api_key": KEY}, state=None, source_config=load_manifest()
    )
    for name in ("_concurrent_source", "_constructor", "_message_repository", "_connector_state_manager", "_config"):
        assert hasattr(plain, name), name
    assert isinstance(plain._message_repository, ConcurrentMessageRepository)
    assert plain._concurrent_source._queue is plain._message_repository._queue


def test_a_source_without_arguments_has_a_spec() -> None:
    spec = SourceClose().spec(LOGGER)
    assert spec.connectionSpecification["required"] == ["api_key"]


def test_a_source_is_found_from_any_working_directory(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "manifest.yaml").write_text("version: 0.0.0\n")
    monkeypatch.chdir(tmp_path)
    assert load_manifest()["type"] == "DeclarativeSource"


def test_a_source_takes_its_config_later(requests_mock: requests_mock.Mocker, tmp_path: Any) -> None:
    answer_everything(requests_mock)
    made = SourceClose()
    config = made.configure({"api_key": KEY}, str(tmp_path))
    assert made.check(LOGGER, config).status == Status.SUCCEEDED
    assert requests_mock.request_history[0].headers["Authorization"].startswith("Basic ")


def test_a_bad_config_is_refused_when_the_source_is_made() -> None:
    with pytest.raises(AirbyteTracedException, match="num_workers") as error:
        source(num_workers=99)
    assert error.value.failure_type == FailureType.config_error


def test_check_asks_for_the_key_and_once_for_each_stream(requests_mock: requests_mock.Mocker) -> None:
    answer_everything(requests_mock)
    status = source().check(LOGGER, {})
    assert (status.status, status.message) == (Status.SUCCEEDED, None)
    paths = [request.path.removeprefix("/api/v1") for request in requests_mock.request_history]
    assert paths == ["/me/", "/activity/", "/custom_field/lead/", "/event/", "/data/search/", "/task/", "/user/"]
    assert all("_limit=1" in request.url or request.json().get("_limit") == 1
               for request in requests_mock.request_history[1:])  # fmt: skip


def test_check_with_a_wrong_key_fails_at_once(requests_mock: requests_mock.Mocker) -> None:
    requests_mock.get(f"{API}/me/", status_code=401, json={"error": "Unauthorized"})
    status = source().check(LOGGER, {})
    assert status.status == Status.FAILED
    assert "answered 401: «Unauthorized». Close does not accept the API key" in str(status.message)
    assert requests_mock.call_count == 1
    assert KEY not in str(status.message)


def test_check_names_a_forbidden_stream_and_succeeds(requests_mock: requests_mock.Mocker) -> None:
    answer_everything(requests_mock)
    requests_mock.get(f"{API}/event/", status_code=403, json={"error": "Forbidden"})
    status = source().check(LOGGER, {})
    assert status.status == Status.SUCCEEDED
    assert "Stream event_log: GET /api/v1/event/ answered 403: «Forbidden»." in str(status.message)


def test_check_fails_when_every_stream_is_forbidden(requests_mock: requests_mock.Mocker) -> None:
    requests_mock.get(ANY, status_code=403, json={"error": "Forbidden"})
    requests_mock.post(f"{API}/data/search/", status_code=403, json={"error": "Forbidden"})
    requests_mock.get(f"{API}/me/", json={"id": "user_1"})
    status = source().check(LOGGER, {})
    assert status.status == Status.FAILED
    assert all(f"Stream {name}:" in str(status.message) for name in STREAMS)


def test_a_whole_read_ends_complete_with_a_state_for_every_stream(requests_mock: requests_mock.Mocker) -> None:
    answer_everything(requests_mock)
    output = run(*STREAMS)
    assert ids(output) == sorted(["acti_1", "task_1", "user_1", "lead_1", *(f"cf_{kind}" for kind in KINDS)])
    for name in STREAMS:
        assert output.get_stream_statuses(name)[-1] == AirbyteStreamStatus.COMPLETE
    states = {
        message.state.stream.stream_descriptor.name
        for message in output.state_messages
        if message.state is not None and message.state.stream is not None
    }
    assert states == set(STREAMS)
    assert output.errors == []


@pytest.mark.parametrize("status", [402, 403, 400])
def test_one_stream_that_fails_does_not_keep_the_others(requests_mock: requests_mock.Mocker, status: int) -> None:
    answer_everything(requests_mock)
    requests_mock.get(f"{API}/task/", status_code=status, json={"error": "No, thank you."})
    output = run("tasks", "users", "leads", expecting_exception=True)
    assert ids(output) == ["lead_1", "user_1"]
    assert output.get_stream_statuses("tasks")[-1] == AirbyteStreamStatus.INCOMPLETE
    assert output.get_stream_statuses("users")[-1] == AirbyteStreamStatus.COMPLETE
    kind, message = failures(output)["tasks"]
    assert kind == ("system_error" if status == 400 else "config_error")
    assert f"GET /api/v1/task/ answered {status}: «No, thank you.»." in message
    asked = [request for request in requests_mock.request_history if request.path == "/api/v1/task/"]
    assert len(asked) == 1


def test_the_key_is_in_no_message_of_a_read_that_fails(requests_mock: requests_mock.Mocker) -> None:
    answer_everything(requests_mock)
    requests_mock.get(f"{API}/user/", status_code=403, json={"error": f"{KEY} may not read this"})
    output = run("users", "tasks", expecting_exception=True)
    everything = "".join(str(message) for message in [*output.logs, *output.trace_messages, *output.errors])
    assert "may not read this" in everything
    assert KEY not in everything

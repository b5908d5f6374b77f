"""`check`: each cause of a failure has its own message, and a forbidden stream does not fail the others."""

from __future__ import annotations

import socket
from collections.abc import Callable

from integration_tests.close_api import LocalCloseApi, Volumes
from integration_tests.harness.running import DEFINED, Connector


def test_check_fails_with_a_wrong_key(
    make_api: Callable[..., LocalCloseApi], connect: Callable[..., Connector]
) -> None:
    api = make_api(Volumes(users=1))
    result = connect(api, api_key="api_mistyped").check()
    [status] = result.of("CONNECTION_STATUS")
    assert status["status"] == "FAILED"
    assert "401" in status["message"]
    assert "API key" in status["message"]
    assert "Settings > Developer > API Keys" in status["message"]
    assert "api_mistyped" not in result.output
    # The check stops after the first 401.
    assert [entry.status for entry in api.requests] == [401]


def test_check_fails_without_a_network(
    make_api: Callable[..., LocalCloseApi], connect: Callable[..., Connector]
) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))  # not listening: a connection is refused
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}/api/v1"
        connector = connect(make_api(Volumes(users=1)), base_url=url, retry_seconds=0.1)
        result = connector.check()
    [status] = result.of("CONNECTION_STATUS")
    assert status["status"] == "FAILED"
    assert "could not be reached" in status["message"]
    assert "Connection refused" in status["message"]
    assert "API key" not in status["message"]


def test_check_names_a_forbidden_stream_and_succeeds(
    make_api: Callable[..., LocalCloseApi], connect: Callable[..., Connector]
) -> None:
    api = make_api(Volumes(activities=30, leads=3, tasks=9, users=3))
    api.settings.forbidden = {"/event/": 403, "/custom_field/": 402}
    result = connect(api).check()
    [status] = result.of("CONNECTION_STATUS")
    assert status["status"] == "SUCCEEDED"
    assert "event_log" in status["message"]
    assert "403" in status["message"]
    assert "custom_fields" in status["message"]
    assert "402" in status["message"]
    assert not {"activities", "leads", "tasks", "users"} & set(status["message"].replace(":", " ").split())
    tried = {entry.path.split("/")[1] for entry in api.requests}
    assert tried >= {"activity", "custom_field", "data", "event", "task", "user"}
    # The check reads one page of each stream.
    assert len(api.requests) <= len(DEFINED)


def test_check_names_a_plan_without_custom_objects(
    make_api: Callable[..., LocalCloseApi], connect: Callable[..., Connector]
) -> None:
    """A read of custom_fields requests their list, and fails at each sync."""
    api = make_api(Volumes(users=3, custom_fields=6))
    api.settings.forbidden = {"/custom_field/custom_object_type/": 402}
    [status] = connect(api).check().of("CONNECTION_STATUS")
    assert status["status"] == "SUCCEEDED"
    assert "Stream custom_fields: GET /api/v1/custom_field/custom_object_type/ answered 402" in status["message"]


def test_check_of_an_account_without_records_sends_few_requests(
    make_api: Callable[..., LocalCloseApi], connect: Callable[..., Connector]
) -> None:
    """A user waits for the check, so it does not search a whole year for a first record."""
    api = make_api(Volumes(users=1))
    [status] = connect(api).check().of("CONNECTION_STATUS")
    assert status["status"] == "SUCCEEDED"
    assert len(api.requests) <= len(DEFINED) + 5, "the stream custom_fields has six lists"


def test_check_fails_if_every_stream_is_forbidden(
    make_api: Callable[..., LocalCloseApi], connect: Callable[..., Connector]
) -> None:
    api = make_api(Volumes(activities=30, leads=3, tasks=9, users=3))
    api.settings.forbidden = {"/": 403}
    [status] = connect(api).check().of("CONNECTION_STATUS")
    assert status["status"] == "FAILED"
    assert all(stream in status["message"] for stream in DEFINED)
    assert "permission" in status["message"]

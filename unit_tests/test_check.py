"""What this connector's class adds to the CDK's: checks in words, one error for each stream, and sources made late."""

from __future__ import annotations

from typing import Any

import pytest
import requests_mock
from airbyte_cdk.models import FailureType, Status
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from source_close.source import SourceClose, load_manifest
from unit_tests.syncs import API, KEY, KINDS, LOGGER, STREAMS, asked, catalog, read_with_positions, run

# Those of the six streams that most of the rest is about; a check asks in the order of the manifest.
PATHS = ["/activity/", "/custom_field/lead/", "/event/", "/data/search/", "/task/", "/user/"]


@pytest.fixture(autouse=True)
def _one_record_in_every_stream(api: requests_mock.Mocker) -> None:
    stamps = {"date_created": "2025-06-01T00:00:00+00:00", "date_updated": "2025-06-01T00:00:00+00:00"}
    api.get(requests_mock.ANY, json={"data": [{"id": "x_1", **stamps}], "has_more": False})
    api.post(f"{API}/data/search/", json={"data": [{"id": "lead_1", **stamps}], "cursor": None})


def check(**config: Any) -> tuple[Status, str]:
    given = {"api_key": KEY, **config}
    status = SourceClose(None, given, None).check(LOGGER, given)
    return status.status, status.message or ""


def test_a_check_asks_once_for_each_stream(api: requests_mock.Mocker) -> None:
    assert check(start_date="2025-06-15") == (Status.SUCCEEDED, "")
    paths = [url.partition("?")[0] for url in asked(api)]
    assert [path for path in paths if path in PATHS] == PATHS
    assert len(paths) == len(STREAMS)


def test_a_check_with_a_wrong_key_ends_at_the_first_answer(api: requests_mock.Mocker) -> None:
    api.get(requests_mock.ANY, status_code=401, json={"error": "Unauthorized"})
    status, message = check()
    assert status == Status.FAILED
    assert "answered 401: «Unauthorized». Close does not accept the API key" in message
    assert api.call_count == 1
    assert KEY not in message


def test_a_check_names_a_forbidden_stream_and_succeeds(api: requests_mock.Mocker) -> None:
    api.get(f"{API}/event/", status_code=403, json={"error": "Forbidden"})
    status, message = check()
    assert status == Status.SUCCEEDED
    assert message.startswith("Stream event_log: GET /api/v1/event/ answered 403: «Forbidden».")


def test_a_check_fails_when_every_stream_is_forbidden(api: requests_mock.Mocker) -> None:
    api.get(requests_mock.ANY, status_code=403, json={"error": "Forbidden"})
    api.post(requests_mock.ANY, status_code=403, json={"error": "Forbidden"})
    status, message = check()
    assert status == Status.FAILED
    assert all(f"Stream {name}:" in message for name in STREAMS)


def test_a_check_fails_when_close_has_trouble_and_does_not_try_for_long(api: requests_mock.Mocker, clock: Any) -> None:
    api.get(f"{API}/event/", status_code=503)
    status, message = check()
    assert (status, clock.now - 1000 < 60) == (Status.FAILED, True)
    assert message.startswith("Stream event_log: GET /api/v1/event/ answered 503")


def test_a_stream_whose_windows_fail_says_so_once(api: requests_mock.Mocker) -> None:
    for kind in KINDS:
        api.get(f"{API}/custom_field/{kind}/", status_code=403, json={"error": kind})
    reading = read_with_positions("custom_fields", "users")
    ((stream, kind, message),) = reading.failures
    assert (stream, kind) == ("custom_fields", "config_error")
    assert "GET /api/v1/custom_field/lead/ answered 403: «lead»." in message
    assert reading.statuses == {"custom_fields": "INCOMPLETE", "users": "COMPLETE"}
    errors = [one.trace.error for one in reading.messages if one.trace and one.trace.error]
    assert [error.stack_trace for error in errors] == [None]


def test_a_source_without_a_config_has_a_spec() -> None:
    assert SourceClose().spec(LOGGER).connectionSpecification["required"] == ["api_key"]


def test_a_source_takes_its_config_later(tmp_path: Any) -> None:
    made = SourceClose()
    config = made.configure({"api_key": KEY, "start_date": "2025-06-15"}, str(tmp_path))
    assert made.check(LOGGER, config).status == Status.SUCCEEDED
    found = made.discover(LOGGER, config)
    assert [stream.name for stream in found.streams] == STREAMS
    messages = list(made.read(LOGGER, config, catalog("users"), None))
    assert [one.record.data["id"] for one in messages if one.record] == ["x_1"]


def test_a_discover_has_the_columns_of_custom_fields_and_a_read_does_not_ask_for_them(
    api: requests_mock.Mocker,
) -> None:
    config = {"api_key": KEY, "start_date": "2025-06-15"}
    leads = SourceClose(None, config, None).discover(LOGGER, config).streams[STREAMS.index("leads")].json_schema
    assert "custom.x_1" in leads["properties"]
    api.reset_mock()
    run(SourceClose(catalog("leads"), config, None), "leads")
    assert set(asked(api)) == {"/data/search/"}


def test_a_bad_config_is_refused_when_the_source_is_made() -> None:
    with pytest.raises(AirbyteTracedException, match="num_workers") as error:
        SourceClose(None, {"api_key": KEY, "num_workers": 99}, None)
    assert error.value.failure_type == FailureType.config_error


def test_the_manifest_is_found_from_any_working_directory(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "manifest.yaml").write_text("version: 0.0.0\n")
    monkeypatch.chdir(tmp_path)
    assert load_manifest()["type"] == "DeclarativeSource"

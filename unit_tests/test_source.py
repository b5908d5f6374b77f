"""The source class: messages of a check, one error per stream, and a config that is set after construction."""

from typing import Any

import pytest
import time_machine
from airbyte_cdk.models import Status
from airbyte_cdk.utils.airbyte_secrets_utils import update_secrets
from requests_mock import ANY, Mocker

from source_close.source import SourceClose, load_manifest
from unit_tests.syncs import API, KEY, KINDS, LOGGER, NOW, STREAMS, Log, leads, read_with_positions, requested, warnings

# The lists of the six streams, in the order in which a check requests them.
CUSTOM_FIELDS = [f"/custom_field/{kind}/" for kind in KINDS]
PATHS = ["/activity/", *CUSTOM_FIELDS, "/event/", "/data/search/", "/lead/", "/task/", "/user/"]


@pytest.fixture(autouse=True)
def _one_record_in_every_stream(api: Mocker) -> None:
    stamps = {"date_created": "2025-06-15T11:00:00+00:00", "date_updated": "2025-06-15T11:00:00+00:00"}
    api.get(ANY, json={"data": [{"id": "x_1", **stamps}], "has_more": False})
    leads(api, {"json": {"data": [{"id": "lead_1", **stamps}], "cursor": None}})


def check(**config: Any) -> tuple[Status, str]:
    given = {"api_key": KEY, **config}
    with time_machine.travel(NOW, tick=False):
        status = SourceClose().check(LOGGER, given)
    return status.status, status.message or ""


def test_a_check_sends_one_request_per_list(api: Mocker) -> None:
    assert check(start_date="2025-06-15") == (Status.SUCCEEDED, "")
    assert [url.partition("?")[0] for url in requested(api)] == PATHS


def test_a_check_reads_the_newest_records(api: Mocker) -> None:
    """The first months after a start date often have no leads, and so would show no reading of leads by ids."""
    assert check(start_date="2020-01-01") == (Status.SUCCEEDED, "")
    [search] = [request.text for request in api.request_history if request.path.endswith("/data/search/")]
    assert NOW in search


def test_a_check_reads_the_window_before_the_newest_one_if_that_is_empty(api: Mocker) -> None:
    """The newest is what is left of 30 days, here an hour."""
    api.post(f"{API}/data/search/", [{"json": {"data": [], "cursor": None}}, {"json": {"data": [{"id": "lead_1"}]}}])
    assert check(start_date="2025-05-16T11:00:00Z") == (Status.SUCCEEDED, "")
    assert requested(api, "/data/search/") == ["/data/search/"] * 2
    assert requested(api, "/lead/") == ["/lead/"]


def test_a_check_with_a_wrong_key_fails_after_one_request_and_hides_the_key(api: Mocker) -> None:
    update_secrets([])  # of earlier tests in this process, which would be hidden
    api.get(ANY, status_code=401, json={"error": KEY})
    status, message = check()
    assert status == Status.FAILED
    assert 'answered 401: «{"error": "****"}». Close does not accept the API key' in message
    assert api.call_count == 1


@pytest.mark.parametrize(
    ("stream", "path", "status"),
    [
        ("event_log", "/event/", 403),
        ("custom_fields", "/custom_field/lead/", 402),
        ("custom_fields", "/custom_field/shared/", 403),
    ],
)
def test_a_check_names_a_stream_that_the_key_or_the_plan_lacks_and_succeeds(
    api: Mocker, caplog: Log, stream: str, path: str, status: int
) -> None:
    """Airbyte shows no message of a check that succeeds, so the log has it too."""
    api.get(f"{API}{path}", status_code=status, json={"error": "No"})
    found, message = check()
    assert found == Status.SUCCEEDED
    assert message.startswith(f'Stream {stream}: GET /api/v1{path} answered {status}: «{{"error": "No"}}».')
    assert f"This key can't read every stream. {message}" in caplog.messages


def test_a_check_of_an_account_without_records_sends_few_requests(api: Mocker) -> None:
    """A user waits for the check, so it does not search a whole year for a first record."""
    api.get(ANY, json={"data": [], "has_more": False, "cursor_next": None})
    api.post(f"{API}/data/search/", json={"data": [], "cursor": None})
    assert check() == (Status.SUCCEEDED, "")
    assert api.call_count <= 2 * len(STREAMS) + 5, "two windows of each, but custom_fields has six lists"


def test_a_check_fails_when_every_stream_is_forbidden(api: Mocker) -> None:
    api.get(ANY, status_code=403, json={"error": "Forbidden"})
    api.post(ANY, status_code=403, json={"error": "Forbidden"})
    status, message = check()
    assert status == Status.FAILED
    assert [name for name in STREAMS if f"Stream {name}:" in message] == STREAMS


def test_a_check_reads_the_streams_that_the_manifest_names(api: Mocker, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = {**load_manifest(), "check": {"type": "CheckStream", "stream_names": ["users"]}}
    monkeypatch.setattr("source_close.source.load_manifest", lambda: manifest)
    assert check() == (Status.SUCCEEDED, "")
    assert requested(api) == ["/user/?_limit=1000&_skip=0"]


def test_a_check_fails_within_a_minute_when_an_endpoint_is_down(api: Mocker, clock: Any) -> None:
    api.get(f"{API}/event/", status_code=503)
    status, message = check()
    assert status == Status.FAILED
    assert clock.now - 1000 < 60
    assert message.startswith("Stream event_log: GET /api/v1/event/ answered 503")


def test_streams_that_do_not_exist_are_named_and_the_others_are_read() -> None:
    """The catalog of a connection has such streams if it used another connector before."""
    unknown = ["lead_custom_fields", "opportunities"]
    reading = read_with_positions(*unknown, "users", whole_manifest=True)
    text = f"this stream doesn't exist. The streams are {', '.join(STREAMS)}. Refresh the connection's schema."
    assert reading.failures == [(name, "config_error", f"Stream {name}: {text}") for name in unknown]
    assert reading.ids_of("users") == ["x_1"]
    assert reading.statuses == {"users": "COMPLETE", **dict.fromkeys(unknown, "INCOMPLETE")}
    assert reading.error == "Concurrent read failure"


def test_a_stream_that_the_catalog_has_twice_is_read_once(api: Mocker) -> None:
    assert read_with_positions("users", "users").ids == ["x_1"]
    assert len(requested(api)) == 1


@pytest.mark.parametrize(
    ("status", "failure_kind", "count"),
    [(403, "config_error", 4), (404, "system_error", 4), (503, "transient_error", 5)],
)
def test_a_stream_whose_partitions_all_fail_reports_one_error(
    api: Mocker, caplog: Log, status: int, failure_kind: str, count: int
) -> None:
    for kind in KINDS:
        api.get(f"{API}/custom_field/{kind}/", status_code=status, json={"error": kind})
    reading = read_with_positions("custom_fields", "users")
    [failure] = reading.failures
    assert failure.stream == "custom_fields"
    assert failure.kind == failure_kind
    logged = [text for text in caplog.messages if text.startswith("Stream custom_fields: GET ")]
    # All but the one that is emitted. Not every plan has custom objects, so the refusal of their list is a warning.
    assert len(logged) == count
    assert len(set(logged)) == count
    assert f'GET /api/v1/custom_field/lead/ answered {status}: «{{"error": "lead"}}».' in failure.message
    assert reading.statuses == {"custom_fields": "INCOMPLETE", "users": "COMPLETE"}
    errors = [one.trace.error for one in reading.messages if one.trace and one.trace.error]
    assert [error.stack_trace is None for error in errors] == [status != 404]


def test_an_error_that_all_windows_have_is_shown_once(api: Mocker, caplog: Log) -> None:
    api.get(f"{API}/event/", status_code=401)
    [failure] = read_with_positions("event_log").failures
    assert failure.message not in caplog.messages


@pytest.mark.parametrize("status", [402, 403, 404])
def test_an_account_without_custom_objects_reads_the_other_custom_fields(api: Mocker, caplog: Log, status: int) -> None:
    api.get(f"{API}/custom_field/custom_object_type/", status_code=status, json={"error": "No"})
    reading = read_with_positions("custom_fields")
    assert len(reading.ids) == len(KINDS) - 1
    assert reading.statuses == {"custom_fields": "COMPLETE"}
    [warning] = warnings(caplog)
    assert warning.startswith("Stream custom_fields: Close does not return what belongs to custom_object_type, which")
    assert f'custom_object_type/ answered {status}: «{{"error": "No"}}».' in warning


def test_a_404_of_a_proxy_does_not_mean_that_an_account_has_no_custom_objects(api: Mocker) -> None:
    api.get(f"{API}/custom_field/custom_object_type/", status_code=404, text="<html>Not found</html>")
    reading = read_with_positions("custom_fields")
    assert reading.statuses == {"custom_fields": "INCOMPLETE"}
    [failure] = reading.failures
    assert failure.kind == "system_error"
    assert "a proxy responded instead of Close" in failure.message


def test_discover_returns_the_columns_of_custom_fields_and_read_does_not_request_them(api: Mocker) -> None:
    found = SourceClose().discover(LOGGER, {"api_key": KEY}).streams
    assert "custom.x_1" in found[STREAMS.index("leads")].json_schema["properties"]
    assert [stream.name for stream in found if stream.is_resumable] == [], "a full refresh begins anew"
    api.reset_mock()
    read_with_positions("leads", whole_manifest=True, start_date="2025-06-14")
    assert set(requested(api)) == {"/data/search/", "/lead/"}

"""Every command of the connector, from end to end, and the requests of a check."""

from integration_tests.close_api import Volumes
from integration_tests.harness.fixtures import Connect, Fork, MakeApi
from integration_tests.harness.running import DEFINED


def test_spec_check_discover_and_read_succeed(make_api: MakeApi, connect: Connect) -> None:
    api = make_api(Volumes(activities=50, leads=20, tasks=20, events=30, users=5, custom_fields=2))
    connector = connect(api, start_date="2020-01-01")
    assert connector.spec().of("SPEC")
    assert connector.check().of("CONNECTION_STATUS") == [{"status": "SUCCEEDED"}]
    assert [stream["name"] for stream in connector.discover().of("CATALOG")[0]["streams"]] == list(DEFINED)
    result = connector.read(list(DEFINED))
    assert result.exit_code == 0
    assert {stream: result.status(stream) for stream in DEFINED} == dict.fromkeys(DEFINED, "COMPLETE")


def test_check_names_a_plan_without_custom_objects(make_api: MakeApi, fork: Fork) -> None:
    """A read of custom_fields requests their list, and fails at each sync."""
    api = make_api(Volumes(users=3, custom_fields=6))
    api.settings.forbidden = {"/custom_field/custom_object_type/": 402}
    [status] = fork(api).check().of("CONNECTION_STATUS")
    assert status["status"] == "SUCCEEDED"
    assert "Stream custom_fields: GET /api/v1/custom_field/custom_object_type/ answered 402" in status["message"]


def test_check_of_an_account_without_records_sends_few_requests(make_api: MakeApi, fork: Fork) -> None:
    """A user waits for the check, so it does not search a whole year for a first record."""
    api = make_api(Volumes(users=1))
    [status] = fork(api).check().of("CONNECTION_STATUS")
    assert status["status"] == "SUCCEEDED"
    assert len(api.requests) <= len(DEFINED) + 5, "the stream custom_fields has six lists"

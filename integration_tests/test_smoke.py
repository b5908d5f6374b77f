"""Every command of the connector, from end to end."""

from collections.abc import Callable

from integration_tests.close_api import LocalCloseApi, Volumes
from integration_tests.harness.running import DEFINED, Connector


def test_spec_check_discover_and_read_succeed(
    make_api: Callable[..., LocalCloseApi], connect: Callable[..., Connector]
) -> None:
    api = make_api(Volumes(activities=50, leads=20, tasks=20, events=30, users=5, custom_fields=2))
    connector = connect(api, start_date="2020-01-01")
    assert connector.spec().of("SPEC")
    assert connector.check().of("CONNECTION_STATUS") == [{"status": "SUCCEEDED"}]
    assert [stream["name"] for stream in connector.discover().of("CATALOG")[0]["streams"]] == list(DEFINED)
    result = connector.read(list(DEFINED))
    assert result.exit_code == 0
    assert {stream: result.status(stream) for stream in DEFINED} == dict.fromkeys(DEFINED, "COMPLETE")

"""A check, from end to end. Other tests start the other commands."""

from integration_tests.close_api import Volumes
from integration_tests.harness.fixtures import Fork, MakeApi


def test_a_check_succeeds(make_api: MakeApi, fork: Fork) -> None:
    api = make_api(Volumes(activities=50, leads=20, tasks=20, events=30, users=5, custom_fields=2))
    assert fork(api).check().of("CONNECTION_STATUS") == [{"status": "SUCCEEDED"}]

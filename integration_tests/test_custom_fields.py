"""What custom fields cost: requests, and time for which others wait."""

from integration_tests.close_api import Volumes
from integration_tests.close_api.faults import Fault
from integration_tests.harness.fixtures import Fork, MakeApi


def test_discover_requests_the_lists_of_a_stream_in_parallel(make_api: MakeApi, fork: Fork) -> None:
    api = make_api(Volumes(users=2))
    api.settings.latency = 0.5
    fork(api).discover()
    assert max(entry.in_flight for entry in api.requests) >= 4


def test_other_streams_do_not_wait_for_the_names_of_lead_fields(make_api: MakeApi, fork: Fork) -> None:
    api = make_api(Volumes(users=2, activities=300, leads=20, custom_fields=4))
    api.faults.add(Fault("slow", "/custom_field/", seconds=1))
    result = fork(api).sync(["leads", "activities"])
    emitted = [message["record"]["stream"] for message in result.messages if message["type"] == "RECORD"]
    # Leads without custom values need no names.
    with_names = [lead["id"] for lead in result.records("leads") if lead["custom_fields"]]
    last_activity = max(number for number, stream in enumerate(emitted) if stream == "activities")
    assert emitted[last_activity + 1 :].count("leads") >= len(with_names) > 0

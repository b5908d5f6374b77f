"""Streams and lists are read side by side, and none waits for another one without need."""

from collections import Counter

import pytest

from integration_tests.close_api import Fault, LocalCloseApi, Volumes
from integration_tests.harness.fixtures import Fork, MakeApi
from integration_tests.harness.moments import DAY, now, text
from integration_tests.harness.running import STREAMS
from integration_tests.harness.truth import ids

START = now() - 240 * DAY
PATHS = {"activities": "/activity/", "event_log": "/event/", "leads": "/data/search/", "tasks": "/task/"}


@pytest.fixture
def api(make_api: MakeApi) -> LocalCloseApi:
    return make_api(Volumes(activities=500, events=100, leads=100, tasks=100, users=1, custom_fields=4), start=START)


def test_the_first_requests_go_to_all_groups_of_endpoints(api: LocalCloseApi, fork: Fork) -> None:
    """One after the other, the windows of activities and of the event log would be more than these requests."""
    api.settings.latency = 0.02
    fork(api, start_date=text(START)).sync(list(PATHS))
    requested = [entry.path for entry in api.requests if entry.path in PATHS.values()]
    first = Counter(requested[:20])
    assert min(first[path] for path in PATHS.values()) >= 2


@pytest.mark.parametrize("num_workers", [1, 2, 40])
def test_any_number_of_workers_reads_everything(api: LocalCloseApi, fork: Fork, num_workers: int) -> None:
    result = fork(api, start_date=text(START), num_workers=num_workers).sync()
    for stream in STREAMS:
        assert set(result.ids(stream)) == ids(api, stream, end=now())
        assert result.repeated(stream) == []


def test_discover_requests_the_lists_of_a_stream_in_parallel(api: LocalCloseApi, fork: Fork) -> None:
    api.settings.latency = 0.5
    fork(api).discover()
    assert max(entry.in_flight for entry in api.requests) >= 4


def test_other_streams_do_not_wait_for_the_names_of_lead_fields(api: LocalCloseApi, fork: Fork) -> None:
    api.faults.add(Fault("slow", "/custom_field/", seconds=1))
    result = fork(api).sync(["leads", "activities"])
    emitted = [message["record"]["stream"] for message in result.messages if message["type"] == "RECORD"]
    # Leads without custom values need no names.
    with_names = [lead["id"] for lead in result.records("leads") if lead["custom_fields"]]
    last_activity = max(number for number, stream in enumerate(emitted) if stream == "activities")
    assert emitted[last_activity + 1 :].count("leads") >= len(with_names) > 0

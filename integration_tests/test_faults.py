"""Failures of networks, proxies and a busy API: the sync loses no record, and the messages help."""

from functools import partial
from itertools import cycle
from typing import Any

import pytest

from integration_tests.close_api import Fault, LocalCloseApi, Volumes
from integration_tests.harness.destination import Destination
from integration_tests.harness.fixtures import Fork, MakeApi
from integration_tests.harness.moments import DAY, HOUR, SECOND, now, text
from integration_tests.harness.running import STREAMS, Result
from integration_tests.harness.truth import clock_at, ids

# Two windows of 15 days with several pages; each list of users and custom fields fits on one page.
VOLUMES = Volumes(activities=250, leads=600, tasks=450, events=120, users=130, custom_fields=12)
PERIOD = 22 * DAY
PATHS = {
    "activities": "/activity/",
    "custom_fields": "/custom_field/",
    "event_log": "/event/",
    "leads": "/data/search/",
    "tasks": "/task/",
    "users": "/user/",
}
START = text(now() - 25 * DAY)
# Faults of the connection.
BROKEN: list[dict[str, Any]] = [
    {"kind": "reset"},
    {"kind": "close_mid_body"},
    {"kind": "hang", "seconds": 0.1},
    {"kind": "truncate"},
]


@pytest.fixture
def api(make_api: MakeApi) -> LocalCloseApi:
    """Return an API with several weeks of data, and a day with more events than fit on a page."""
    api = make_api(VOLUMES, start=now() - PERIOD)
    api.settings.max_limit |= {"task": 100}  # so that tasks have several pages
    for number in range(60):
        with clock_at(api, now() - 3 * DAY - HOUR + number * SECOND):
            api.store.add("Note", lead_id=None)
    return api


def is_a_later_page(query: dict[str, str]) -> bool:
    return "_cursor" in query or int(query.get("_skip", 0)) > 0


@pytest.fixture
def make_connector(fork: Fork) -> Fork:
    """Return a function that makes the connector, whose waits are short."""
    return partial(fork, start_date=START, faster=20)


def assert_all_records_read(api: LocalCloseApi, result: Result, *streams: str) -> None:
    for stream in streams:
        assert set(result.ids(stream)) == ids_to_read(api, stream), stream
        assert not result.repeated(stream), stream


def ids_to_read(api: LocalCloseApi, stream: str) -> set[str]:
    """Return the ids that a read emits: all except those of meetings in the future."""
    return ids(api, stream, end=now())


def test_a_request_is_retried_after_every_fault_of_the_connection(api: LocalCloseApi, make_connector: Fork) -> None:
    """The streams are hit in turn: at their first requests, and at a later page if they have several."""
    for path, fault in zip(PATHS.values(), cycle(BROKEN), strict=False):
        api.faults.add(Fault(**fault, path=path, times=1))
    for path, fault in zip(("/activity/", "/task/", "/event/"), BROKEN, strict=False):
        api.faults.add(Fault(**fault, path=path, times=1, when=is_a_later_page))
    # Searches have no parameters to tell pages by. Both windows have had their first page by then.
    api.faults.add(Fault(**BROKEN[-1], path=PATHS["leads"], times=1, after=2))
    result = make_connector(api).sync()
    assert_all_records_read(api, result, *STREAMS)
    assert all(fault.struck == 1 for fault in api.faults.rules)


def test_streams_that_fail_are_incomplete_and_the_others_are_complete(api: LocalCloseApi, make_connector: Fork) -> None:
    """One stream is forbidden, one is not part of the plan, and one is down."""
    api.settings.forbidden = {"/task/": 403, "/custom_field/": 402}
    api.faults.add(Fault("reset", "/user/"))
    result = make_connector(api, retry_seconds=1.0, capture_changes=False).read()
    assert result.exit_code == 1
    failures = {error["stream_descriptor"]["name"]: error for error in result.errors}
    assert len(result.errors) == len(failures)
    assert {stream: error["failure_type"] for stream, error in failures.items()} == {
        "custom_fields": "config_error",
        "tasks": "config_error",
        "users": "transient_error",
    }
    others = set(STREAMS) - failures.keys()
    assert {result.status(name) for name in failures} == {"INCOMPLETE"}
    assert {result.status(name) for name in others} == {"COMPLETE"}
    assert_all_records_read(api, result, *others)
    assert "Traceback" not in result.output


@pytest.mark.parametrize("lines", [60, 900])
def test_a_killed_read_is_continued_from_its_last_state(lines: int, api: LocalCloseApi, make_connector: Fork) -> None:
    connector = make_connector(api)
    connector.kill_after = lines
    killed = connector.read()
    assert killed.exit_code == -9
    rest = make_connector(api).sync(state=killed.states)
    destination = Destination()
    destination.take(killed.messages)
    for stream in STREAMS:
        assert destination.committed[stream] | set(rest.ids(stream)) == ids_to_read(api, stream), stream

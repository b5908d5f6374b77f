"""Failures of networks, proxies and a busy API: the sync loses no record, and the messages help."""

from datetime import datetime
from functools import partial
from itertools import cycle
from typing import Any

import pytest

from integration_tests.close_api import Fault, LocalCloseApi, Volumes
from integration_tests.harness.fixtures import Fork, MakeApi
from integration_tests.harness.moments import DAY, HOUR, SECOND, now, text
from integration_tests.harness.running import DEFINED, STREAMS, Result
from integration_tests.harness.truth import clock_at, ids, saved_cursor
from integration_tests.soak.destination import Destination

# Two windows of 30 days with several pages; each list of users and custom fields fits on one page.
VOLUMES = Volumes(activities=250, leads=450, tasks=450, events=120, users=130, custom_fields=12)
PERIOD = 45 * DAY
PATHS = {
    "activities": "/activity/",
    "custom_fields": "/custom_field/",
    "event_log": "/event/",
    "leads": "/data/search/",
    "tasks": "/task/",
    "users": "/user/",
}
START = text(now() - 50 * DAY)
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
        assert set(result.ids(stream)) == up_to_now(api, stream), stream
        assert not result.repeated(stream), stream


def up_to_now(api: LocalCloseApi, stream: str) -> set[str]:
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
    """One stream is forbidden, one is not part of the plan (in six lists, with one message), and one is down."""
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
    assert "answered 402: «Payment required». The organization's Close plan" in failures["custom_fields"]["message"]
    assert failures["tasks"]["message"].startswith("Stream tasks: GET /api/v1/task/ answered 403: «Forbidden».")
    assert failures["users"]["message"].startswith("Stream users: GET /api/v1/user/ failed: ")
    assert "Check the network, proxy, firewall and certificates" in failures["users"]["message"]
    others = set(STREAMS) - failures.keys()
    assert {result.status(name) for name in failures} == {"INCOMPLETE"}
    assert {result.status(name) for name in others} == {"COMPLETE"}
    assert_all_records_read(api, result, *others)
    assert "Traceback" not in result.output
    # Once, though the windows of tasks fail one by one.
    logged = result.logs("ERROR")
    assert len(logged) == len(set(logged)) >= len(failures)


def test_a_truncated_error_response_is_retried(api: LocalCloseApi, make_connector: Fork) -> None:
    """Only the missing half says whether the error is about the largest `_skip`, which the connector copes with."""
    api.settings.error_wording = "new"
    api.settings.max_skip |= {"task": 110}
    api.faults.add(Fault("truncate", "/task/", times=1, when=lambda query: int(query.get("_skip", 0)) > 110))
    result = make_connector(api).sync(["tasks"])
    assert_all_records_read(api, result, "tasks")
    assert api.faults.rules[0].struck == 1


def test_a_record_without_a_readable_cursor_is_emitted_with_a_warning(make_api: MakeApi, make_connector: Fork) -> None:
    api = make_api()
    broken: list[dict[str, Any]] = [{"id": "x_1"}, {"id": "x_2", "date_updated": None, "date_created": "yesterday"}]
    yesterday = now() - DAY
    streams = [stream for stream in STREAMS if stream != "custom_fields"]
    for stream in streams:
        newest = {"id": "x_3", "date_updated": text(yesterday), "date_created": text(yesterday)}
        body = {"data": [newest, *broken], "has_more": False, "cursor": None, "cursor_next": None}
        api.faults.add(
            Fault("status", PATHS[stream], status=200, body=body, times=1, when=partial(window_contains, yesterday))
        )
    api.faults.add(Fault("status", "/lead/", status=200, body=body))  # the leads by their ids
    # A fault sees no bounds of a search, so leads have one window only.
    result = make_connector(api, capture_changes=False, start_date=text(now() - 20 * DAY)).sync(streams)
    for stream in streams:
        assert set(result.ids(stream)) >= {"x_1", "x_2", "x_3"}, stream
        warnings = [one for one in result.logs("WARN") if f"in record for stream {stream}." in one]
        assert len(warnings) == 1
        assert warnings[0].startswith("Could not find cursor field `date_")
        assert saved_cursor(result, stream) == yesterday


def window_contains(moment: datetime, query: dict[str, str]) -> bool:
    """Return whether the requested window, if any, contains a moment."""
    [before] = [value for name, value in query.items() if name.endswith("__lt")] or [text(moment + SECOND)]
    [since] = [value for name, value in query.items() if name.endswith("__gte")] or [text(moment)]
    return since <= text(moment) < before


def test_an_unknown_stream_is_named_and_the_others_are_read(api: LocalCloseApi, make_connector: Fork) -> None:
    """The catalog of a connection has such streams if it used another connector before."""
    result = make_connector(api).read(["users", "lead_custom_fields", "opportunities", "tasks"])
    assert result.exit_code == 1
    there_are = f"The streams are {', '.join(DEFINED)}. Refresh the connection's schema."
    assert {error["stream_descriptor"]["name"]: error["message"] for error in result.errors} == {
        name: f"Stream {name}: this stream doesn't exist. {there_are}"
        for name in ("lead_custom_fields", "opportunities")
    }
    assert {error["failure_type"] for error in result.errors} == {"config_error"}
    assert_all_records_read(api, result, "users", "tasks")
    assert (result.status("users"), result.status("opportunities")) == ("COMPLETE", "INCOMPLETE")


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
        assert destination.committed[stream] | set(rest.ids(stream)) == up_to_now(api, stream), stream

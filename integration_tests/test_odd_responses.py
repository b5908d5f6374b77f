"""Responses that Close is not known to send: no stream hangs, loses records silently, or fails another stream."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import orjson
import pytest

from integration_tests.close_api import Fault, Volumes
from integration_tests.harness.fixtures import Fork, MakeApi
from integration_tests.harness.moments import DAY, HOUR, now, text
from integration_tests.harness.running import Result
from integration_tests.harness.truth import ids, requests_of, state_of
from integration_tests.harness.warehouse import DELETED_AT, FOLLOWING

VOLUMES = Volumes(activities=40, leads=30, tasks=40, users=3)
PATHS = {"activities": "/activity/", "event_log": "/event/", "leads": "/data/search/", "tasks": "/task/"}
PATHS |= {"users": "/user/"}


@pytest.fixture
def make_connector(fork: Fork) -> Fork:
    """Return a function that makes the connector, which gives up early."""
    return partial(fork, start_date=text(now() - 20 * DAY), retry_seconds=1.0, faster=20)


def states(**cursors: Any) -> list[dict[str, Any]]:
    """Return states of an hour ago, with positions in the event log of that time."""
    at = text(now() - HOUR)
    found = {"activities": {"date_created": at}, "leads": {"date_updated": at}, "tasks": {"date_updated": at}}
    positions = {name: {**state, "event_log_position": at} for name, state in found.items()}
    return state_of(**positions, **cursors)


def replace_members(**changes: Any) -> Callable[[bytes], bytes]:
    """Return a function that replaces members of a response; None removes a member."""

    def edit(body: bytes) -> bytes:
        response = {**orjson.loads(body), **changes}
        return orjson.dumps({name: value for name, value in response.items() if value is not None})

    return edit


def always(body: bytes) -> Callable[[bytes], bytes]:
    """Return a function that replaces every response."""
    return lambda _: body


def failures(result: Result) -> dict[str, str]:
    return {error["stream_descriptor"]["name"]: error["message"] for error in result.errors}


def test_a_read_by_ids_that_always_says_has_more_fails_the_stream(make_api: MakeApi, make_connector: Fork) -> None:
    api = make_api(Volumes(users=1))
    [note] = api.store.load_many("Note", 1, now() - 100 * DAY, lead_id=None)
    api.store.delete(note)
    api.faults.add(
        Fault("edit", "/activity/", edit=replace_members(has_more=True), when=lambda query: "id__in" in query)
    )
    result = make_connector(api).read(["activities"], states())
    assert (
        "POST /api/v1/activity/ with a single id returned a page without that record" in failures(result)["activities"]
    )
    assert not [row for row in result.records("activities") if DELETED_AT in row]


NESTED_300 = "nested 300 deep"
NESTED = b'{"in":[' * 150 + b'"the end"' + b"]}" * 150
VALUES: list[Any] = [None, [1], "text", 7]
NOT_STRINGS: list[Any] = [None, [1], 7, {}, "", True]
ODD: dict[str, dict[str, Any]] = {
    **{f"without {name}": {"without": name} for name in ("object_type", "action", "object_id")},
    **{
        f"{name} is {value!r}": {name: value}
        for name in ("object_type", "action", "object_id")
        for value in NOT_STRINGS
    },
    **{f"meta of a merge is {value!r}": {"action": "merged", "meta": value} for value in VALUES},
    "the source of a merge is a list": {"action": "merged", "meta": {"merge_source_lead_id": ["lead_1"]}},
}
FOLLOWED: dict[str, dict[str, Any]] = {
    "an unknown type": {"object_type": "spaceship"},
    "an unknown action": {"action": "teleported"},
    NESTED_300: {"data": "Deep", "previous_data": "Deep", "meta": {"more": "Deep"}},
    **{
        f"{name} of a deletion is {value!r}": {"action": "deleted", name: value}
        for name in ("previous_data", "meta")
        for value in VALUES
    },
}


def test_odd_events_are_emitted_and_fail_no_stream(make_api: MakeApi, make_connector: Fork) -> None:
    """Events that differ from the documentation of Close: some can be followed, and one warning counts the others."""
    api = make_api(VOLUMES)
    followed = [api.store.log_event(**fields) for fields in FOLLOWED.values()]
    odd = [api.store.log_event(**fields) for fields in ODD.values()]
    api.faults.add(Fault("edit", "/event/", edit=lambda body: body.replace(b'"Deep"', NESTED)))
    edited = next(iter(ids(api, "tasks")))
    api.store.edit(edited, text="Edited")
    result = make_connector(api).sync([*FOLLOWING, "event_log"], states(event_log=text(now() - HOUR)))
    assert {*followed, *odd} <= set(result.ids("event_log"))
    assert [row["text"] for row in result.records("tasks") if row["id"] == edited] == ["Edited"]
    [warning] = [line for line in result.warnings if "don't say which object changed" in line]
    assert warning.startswith(f"{len(ODD)} events of the event log (first: ev_")
    [row] = [row for row in result.records("event_log") if row["id"] == followed[list(FOLLOWED).index(NESTED_300)]]
    assert json.loads(row["data"]) == json.loads(NESTED)


def test_unusual_json_is_emitted_as_valid_json(make_api: MakeApi, make_connector: Fork) -> None:
    """Each user has one odd first name, and the response begins with a byte order mark."""
    api = make_api(Volumes(users=1))
    unusual = {
        rb'"Half a pair: \ud83d"': "Half a pair: \N{REPLACEMENT CHARACTER}",
        rb'"A pair: \ud83d\ude00"': "A pair: \N{GRINNING FACE}",
        b"NaN": None,
        b"-Infinity": None,
        b"1" * 40: float("1" * 40),
    }
    names = {api.store.add("user", first_name=f"Odd {number}")["id"]: number for number in range(len(unusual))}

    def edit(body: bytes) -> bytes:
        for number, odd in enumerate(unusual):
            body = body.replace(b'"Odd %d"' % number, odd)
        return b"\xef\xbb\xbf" + body

    api.faults.add(Fault("edit", "/user/", edit=edit))
    result = make_connector(api).sync(["users"])
    assert set(result.ids("users")) == ids(api, "users")
    emitted = {row["id"]: row.get("first_name") for row in result.records("users")}
    assert [emitted[one] for one in names] == list(unusual.values())


def test_text_that_is_not_json_is_an_unreadable_response(make_api: MakeApi, make_connector: Fork) -> None:
    api = make_api(VOLUMES)
    texts = {"users": b'"\xff\xfe"', "tasks": b"Odd", "activities": b'{"in":' * 5_000 + b"1" + b"}" * 5_000}
    for stream, text_in_data in texts.items():
        body = b'{"data":[' + text_in_data + b'],"has_more":false}'
        api.faults.add(Fault("edit", PATHS[stream], edit=always(body)))
    found = failures(make_connector(api).read([*texts, "leads"]))
    assert found.keys() == texts.keys()
    for stream, message in found.items():
        assert f"GET /api/v1{PATHS[stream]} failed: the response (200) is not complete JSON" in message
        assert "The response is not what the connector requested." in message


@pytest.mark.parametrize("rows", ["the same rows", "no rows"])
def test_a_page_that_repeats_fails_the_stream(rows: str, make_api: MakeApi, make_connector: Fork) -> None:
    api = make_api()
    more: dict[str, dict[str, Any]] = {
        "activities": {"has_more": True},
        "users": {"has_more": True},
        "event_log": {"cursor_next": "again"},
        "leads": {"cursor": "again"},
    }
    at = text(now() - HOUR / 2)
    data = [{"id": "x_1", "date_created": at, "date_updated": at}] if rows == "the same rows" else []
    for stream, members in more.items():
        api.faults.add(Fault("status", PATHS[stream], status=200, body={"data": data, **members}))
    result = make_connector(api, num_workers=1, start_date=text(now() - HOUR)).read(tuple(more))
    for stream in more:
        assert "the list repeats the same page" in failures(result)[stream]
        assert len(requests_of(api, PATHS[stream])) < 10


def test_cursors_that_form_a_cycle_fail_the_stream(make_api: MakeApi, make_connector: Fork) -> None:
    api = make_api()
    for name, following in (("a", "b"), ("b", "a"), (None, "a")):
        body = {"data": [{"id": f"ev_{name}", "date_updated": text(now() - HOUR / 2)}], "cursor_next": following}
        when = (lambda query, name=name: query.get("_cursor") == name) if name else None
        api.faults.add(Fault("status", "/event/", status=200, body=body, when=when))
    result = make_connector(api, num_workers=1, start_date=text(now() - HOUR)).read(["event_log"])
    assert "the list repeats the same page" in failures(result)["event_log"]
    assert len(requests_of(api, "/event/")) < 10

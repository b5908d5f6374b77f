"""Records at the bounds of what a sync reads: exactly at a bound, a millisecond before it, a millisecond after it."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

import pytest

from integration_tests.close_api import LocalCloseApi, Volumes
from integration_tests.harness.fixtures import Fork, MakeApi
from integration_tests.harness.truth import (
    DAY,
    HOUR,
    LOOKBACK,
    MILLISECOND,
    assert_complete,
    ids,
    moment,
    now,
    saved_cursor,
    text,
)

WINDOW_HOURS = 3
KINDS = {"activities": "Note", "tasks": "task", "leads": "lead"}
UPPER_BOUND = {"/activity/": ("activities", "date_created__lt"), "/task/": ("tasks", "date_updated__lt")}
LOOKBACKS = LOOKBACK | {"activities": WINDOW_HOURS * HOUR}


def add_record(api: LocalCloseApi, stream: str, at: datetime) -> str:
    """Add a record of the stream with the timestamp `at` and without an event; return its id."""
    return api.store.load_many(KINDS[stream], 1, at, lead_id=None)[0] if stream != "leads" else _lead(api, at)


def _lead(api: LocalCloseApi, at: datetime) -> str:
    return api.store.load_many("lead", 1, at)[0]


def around(api: LocalCloseApi, stream: str, at: datetime) -> list[str]:
    """Add records a millisecond before, at and a millisecond after a moment; return their ids."""
    return [add_record(api, stream, at + step * MILLISECOND) for step in (-1, 0, 1)]


@pytest.mark.parametrize("precision", ["millisecond", "second"])
def test_records_at_the_lower_bounds_are_emitted(make_api: MakeApi, fork: Fork, precision: str) -> None:
    """A first sync starts at start_date minus the attribution window, the next at the cursor minus the lookback."""
    api = make_api(Volumes(users=1))
    api.settings.filter_precision = precision  # type: ignore[assignment]
    start = now().replace(microsecond=250_000) - 30 * DAY
    first_bound = {"activities": start - WINDOW_HOURS * HOUR, "tasks": start, "leads": start}
    edges = {stream: around(api, stream, at) for stream, at in first_bound.items()}
    last = now().replace(microsecond=500_000) - DAY
    for stream in KINDS:
        add_record(api, stream, last)
    connector = fork(api, start_date=text(start), attribution_window_hours=WINDOW_HOURS)
    first = connector.read(list(KINDS))
    assert_complete(first, *KINDS)
    for stream, (before, at, after) in edges.items():
        emitted = first.ids(stream)
        assert first.repeated(stream) == []
        assert {at, after} <= set(emitted)
        # A filter with a precision of a second returns more records, which loses nothing.
        assert precision == "second" or before not in emitted
        assert saved_cursor(first, stream) == last

    edges = {stream: around(api, stream, last - LOOKBACKS[stream]) for stream in KINDS}
    second = connector.read(list(KINDS), first.states)
    assert_complete(second, *KINDS)
    for stream, (before, at, after) in edges.items():
        emitted = second.ids(stream)
        assert second.repeated(stream) == []
        assert {at, after} <= set(emitted)
        assert precision == "second" or before not in emitted
        if precision == "millisecond":
            assert set(emitted) == ids(api, stream, last - LOOKBACKS[stream], now())


@pytest.mark.parametrize("precision", ["millisecond", "second"])
def test_the_upper_bound_is_the_start_of_the_sync(make_api: MakeApi, fork: Fork, precision: str) -> None:
    """The next sync emits records at the bound or after it, and no record moves the cursor past the bound."""
    api = make_api(Volumes(users=1))
    api.settings.filter_precision = precision  # type: ignore[assignment]
    bounds: dict[str, datetime] = {}
    edges: dict[str, list[str]] = {}

    def put_records_on_the_bounds(_number: int) -> None:
        entry = api.requests[-1]
        stream, parameter = UPPER_BOUND.get(entry.path, ("", ""))
        if stream and stream not in bounds and parameter in entry.query:
            bounds[stream] = moment(entry.query[parameter])
            edges[stream] = around(api, stream, bounds[stream])
            # A record far in the future, as a meeting can be, must not move the cursor.
            if stream == "activities":
                edges["far ahead"] = [add_record(api, stream, bounds[stream] + 10 * DAY)]
        elif entry.path == "/data/search/" and "leads" not in bounds:
            bounds["leads"] = moment(_search_bound(entry.json))
            edges["leads"] = around(api, "leads", bounds["leads"])

    end = api.store.on_request(put_records_on_the_bounds)
    # Less than 30 days, so that there is one window.
    connector = fork(api, start_date=text(now() - 20 * DAY), attribution_window_hours=0)
    began = now()
    first = connector.read(list(KINDS))
    end()
    assert_complete(first, *KINDS)
    assert bounds.keys() == KINDS.keys()
    for stream in KINDS:
        before, at, after = edges[stream]
        assert began <= bounds[stream] <= now()
        assert not {at, after} & set(first.ids(stream))
        if precision == "millisecond":
            assert first.ids(stream) == [before]
            assert saved_cursor(first, stream) == bounds[stream] - MILLISECOND
        assert saved_cursor(first, stream) <= bounds[stream]
    # A filter with a precision of a second hides records of the second in which the sync starts.
    connector.now = lambda: now() + timedelta(seconds=1)
    second = connector.read(list(KINDS), first.states)
    assert_complete(second, *KINDS)
    for stream in KINDS:
        assert second.repeated(stream) == []
        assert set(second.ids(stream)) | set(first.ids(stream)) == set(edges[stream])
        assert {edges[stream][1], edges[stream][2]} <= set(second.ids(stream))
        assert saved_cursor(second, stream) == bounds[stream] + MILLISECOND


def _search_bound(body: dict[str, object]) -> str:
    """Return the `before` of a search, at any depth of the query."""
    waiting: list[object] = [body]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            if isinstance(before := node.get("before"), dict):
                return str(before["value"])
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node
    raise AssertionError("the search has no upper bound")


def test_a_future_meeting_is_emitted_once_it_has_started(make_api: MakeApi, fork: Fork) -> None:
    """The date_created of a meeting is its start: if it is in the future, it must not move the cursor."""
    api = make_api(Volumes(users=1))
    soon: list[str] = []
    starts: list[datetime] = []

    def book(number: int) -> None:
        if number == 1:
            starts.append(moment(api.requests[-1].query["date_created__lt"]) + timedelta(seconds=1))
            with api.store.lock:
                soon.extend(_load_meeting(api, starts[0]))
                _load_meeting(api, starts[0] + 20 * DAY)

    past = add_record(api, "activities", now() - 2 * HOUR)
    api.store.on_request(book)
    connector = fork(api, start_date=text(now() - 20 * DAY), attribution_window_hours=0)
    first = connector.read(["activities"])
    assert_complete(first, "activities")
    assert first.ids("activities") == [past]
    assert saved_cursor(first, "activities") < starts[0]
    time.sleep(max((starts[0] - now()).total_seconds(), 0))
    second = connector.read(["activities"], first.states)
    assert_complete(second, "activities")
    assert set(second.ids("activities")) - {past} == set(soon)
    assert saved_cursor(second, "activities") == starts[0]


def _load_meeting(api: LocalCloseApi, at: datetime) -> list[str]:
    return api.store.load_many("Meeting", 1, at, date_updated=text(now()), lead_id=None)

"""Records at the bounds of what a sync reads: exactly at a bound, a millisecond before it, a millisecond after it."""

import re
from datetime import datetime, timedelta

from integration_tests.close_api import LocalCloseApi, Volumes
from integration_tests.harness.fixtures import Fork, MakeApi
from integration_tests.harness.moments import DAY, HOUR, MILLISECOND, moment, now, text
from integration_tests.harness.truth import LOOKBACK, ids, saved_cursor

WINDOW_HOURS = 3
# The date_created of a meeting is its start, which may be in the future.
KINDS = {"activities": "Meeting", "tasks": "task", "leads": "lead"}
UPPER_BOUND = {"/activity/": ("activities", "date_created__lt"), "/task/": ("tasks", "date_updated__lt")}
LOOKBACKS = LOOKBACK | {"activities": WINDOW_HOURS * HOUR}


def add_record(api: LocalCloseApi, stream: str, at: datetime) -> str:
    """Add a record of the stream with the timestamp `at` and without an event; return its id."""
    without_lead = {} if stream == "leads" else {"lead_id": None}
    return api.store.load_many(KINDS[stream], 1, at, **without_lead)[0]


def around(api: LocalCloseApi, stream: str, at: datetime) -> list[str]:
    """Add records a millisecond before, at and a millisecond after a moment; return their ids."""
    return [add_record(api, stream, at + step * MILLISECOND) for step in (-1, 0, 1)]


def test_records_at_the_lower_bounds_are_emitted(make_api: MakeApi, fork: Fork) -> None:
    """A first sync starts at start_date minus the attribution window, the next at the cursor minus the lookback."""
    api = make_api(Volumes(users=1))
    start = now().replace(microsecond=250_000) - 30 * DAY
    first_bound = {"activities": start - WINDOW_HOURS * HOUR, "tasks": start, "leads": start}
    edges = {stream: around(api, stream, at) for stream, at in first_bound.items()}
    last = now().replace(microsecond=500_000) - DAY
    for stream in KINDS:
        add_record(api, stream, last)
    connector = fork(api, start_date=text(start), attribution_window_hours=WINDOW_HOURS)
    first = connector.sync(list(KINDS))
    for stream, (before, at, after) in edges.items():
        emitted = first.ids(stream)
        assert first.repeated(stream) == []
        assert {at, after} <= set(emitted)
        assert before not in emitted
        assert saved_cursor(first, stream) == last

    edges = {stream: around(api, stream, last - LOOKBACKS[stream]) for stream in KINDS}
    second = connector.sync(list(KINDS), first.states)
    for stream, (before, at, after) in edges.items():
        assert second.repeated(stream) == []
        assert {at, after} <= set(second.ids(stream))
        assert before not in second.ids(stream)
        assert set(second.ids(stream)) == ids(api, stream, last - LOOKBACKS[stream], now())


def test_the_upper_bound_is_the_start_of_the_sync(make_api: MakeApi, fork: Fork) -> None:
    """The next sync emits records at the bound or after it, and no record moves the cursor past the bound."""
    api = make_api(Volumes(users=1))
    # Such a filter hides records of the second in which the sync starts.
    api.settings.filter_precision = "second"
    bounds: dict[str, datetime] = {}
    edges: dict[str, list[str]] = {}

    def put_records_on_the_bounds(_number: int) -> None:
        entry = api.requests[-1]
        stream, parameter = UPPER_BOUND.get(entry.path, ("", ""))
        if stream and stream not in bounds and parameter in entry.query:
            bounds[stream] = moment(entry.query[parameter])
            edges[stream] = around(api, stream, bounds[stream])
            # A meeting far in the future must not move the cursor.
            if stream == "activities":
                edges["far ahead"] = [add_record(api, stream, bounds[stream] + 10 * DAY)]
        elif entry.path == "/data/search/" and "leads" not in bounds:
            [bound] = re.findall(r"'before': \{[^}]*'value': '([^']+)'", str(entry.json))
            bounds["leads"] = moment(bound)
            edges["leads"] = around(api, "leads", bounds["leads"])

    end = api.store.on_request(put_records_on_the_bounds)
    # Less than 30 days, so that there is one window.
    connector = fork(api, start_date=text(now() - 20 * DAY), attribution_window_hours=0)
    began = now()
    first = connector.sync(list(KINDS))
    end()
    assert bounds.keys() == KINDS.keys()
    for stream in KINDS:
        _, at, after = edges[stream]
        assert began <= bounds[stream] <= now()
        assert not {at, after} & set(first.ids(stream))
        assert saved_cursor(first, stream) <= bounds[stream]
    connector.now = lambda: now() + timedelta(seconds=1)
    second = connector.sync(list(KINDS), first.states)
    for stream in KINDS:
        assert second.repeated(stream) == []
        assert set(second.ids(stream)) | set(first.ids(stream)) == set(edges[stream])
        assert {edges[stream][1], edges[stream][2]} <= set(second.ids(stream))
        assert saved_cursor(second, stream) == bounds[stream] + MILLISECOND

"""Offset lists with any size, order and skip cap are read completely, with few requests and few rows twice."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from integration_tests.close_api import LocalCloseApi, Volumes
from integration_tests.close_api.settings import ListOrder
from integration_tests.harness.forked import ForkedConnector
from integration_tests.harness.running import KEY, Connector, Result
from integration_tests.harness.truth import (
    DAY,
    HOUR,
    MILLISECOND,
    SECOND,
    assert_complete,
    forbid_after,
    ids,
    moment,
    now,
    requests_of,
    text,
)

PAGE = 100


def rows_per_record(result: Result, stream: str) -> float:
    """Return how many rows were emitted per record; 1.0 means that no record was repeated."""
    return len(result.ids(stream)) / len(set(result.ids(stream)))


# All other tests read lists with the newest row first.
@pytest.mark.parametrize("order", ["oldest", "id", "inserted", "date_updated"])
def test_lists_in_any_order_are_read_completely(
    make_api: Callable[..., LocalCloseApi], fork: Callable[..., Connector], order: ListOrder
) -> None:
    api = make_api(Volumes(activities=1_500, tasks=900, users=1_150, leads=10))
    settings = api.settings
    settings.activity_order = settings.task_order = settings.user_order = order
    settings.max_skip |= {"activity": 600, "task": 400}
    settings.max_limit["task"] = 100
    start = now() - 300 * DAY
    streams = ("activities", "tasks", "users")
    expected = {
        "activities": ids(api, "activities", start - DAY, now()),
        "tasks": ids(api, "tasks", start, now()),
        "users": ids(api, "users"),
    }
    result = fork(api, start_date=text(start)).read(streams)
    assert_complete(result, *streams)
    for stream in streams:
        assert set(result.ids(stream)) == expected[stream]
        assert rows_per_record(result, stream) <= 1.02


@pytest.mark.parametrize("wording", ["old", "new"])
def test_an_hour_with_more_rows_than_the_skip_cap_is_read_completely(
    make_api: Callable[..., LocalCloseApi], fork: Callable[..., Connector], wording: Any
) -> None:
    """An hour has 9,000 activities, of which offsets reach 1,500, and 2,000 tasks, of which they reach 500."""
    api = make_api(Volumes(users=1))
    api.settings.error_wording = wording
    api.settings.max_skip |= {"activity": 1_500, "task": 500}
    hour = now() - 40 * DAY
    kinds = ("Note", "Call", "Email") if wording == "old" else ("SMS",)
    for kind in kinds:
        api.store.load_hour(kind, 9_000 // len(kinds), hour, lead_id=None)
    for number in range(2_000):
        api.store.load_many("task", 1, hour + number * 1_750 * MILLISECOND)
    windows = 12
    start = hour + 40 * DAY - windows * 30 * DAY + HOUR
    result = fork(api, start_date=text(start), attribution_window_hours=0).read(["activities", "tasks"])
    assert_complete(result, "activities", "tasks")
    for stream, path, rows in (("activities", "/activity/", 9_000), ("tasks", "/task/", 2_000)):
        assert set(result.ids(stream)) == ids(api, stream)
        assert len(result.ids(stream)) <= 1.02 * rows
        assert len(requests_of(api, path)) <= 1.5 * rows / PAGE + windows + 1, stream


def test_a_timestamp_with_more_rows_of_several_types_than_the_skip_cap_is_read_completely(
    make_api: Callable[..., LocalCloseApi], fork: Callable[..., Connector]
) -> None:
    """A midnight has 3,000 activities, of which offsets reach 1,000, and 1,500 tasks, of which they reach 500."""
    api = make_api(Volumes(users=1, activities=300, tasks=90))
    api.settings.max_skip |= {"activity": 900, "task": 400}
    midnight = now().replace(hour=0, minute=0, second=0, microsecond=0) - 50 * DAY
    for kind in ("Note", "Call", "Meeting", "SMS", "Created", "OpportunityStatusChange"):
        api.store.load_many(kind, 500, midnight, lead_id=None)
    api.store.load_many("task", 1_500, midnight)
    end = now()
    result = fork(api, start_date=text(end - 366 * DAY)).read(["activities", "tasks"])
    assert_complete(result, "activities", "tasks")
    for stream in ("activities", "tasks"):
        assert set(result.ids(stream)) == ids(api, stream, None, end)
        assert result.repeated(stream) == []


@pytest.mark.parametrize("leads", [60, 0])
def test_a_timestamp_with_more_rows_of_one_type_than_the_skip_cap_fails_the_stream(
    make_api: Callable[..., LocalCloseApi], fork: Callable[..., Connector], leads: int
) -> None:
    """Offsets reach 1,000 of the 1,500 meetings at one midnight. The message names the midnight."""
    api = make_api(Volumes(users=1, leads=leads, activities=300))
    api.settings.max_skip["activity"] = 1_000
    midnight = now().replace(hour=0, minute=0, second=0, microsecond=0) - 50 * DAY
    api.store.load_many("Meeting", 1_500, midnight)
    result = fork(api).read(["activities", "users"])
    assert result.exit_code == 1
    assert (result.status("activities"), result.status("users")) == ("INCOMPLETE", "COMPLETE")
    [error] = result.errors
    assert error["message"].startswith("Stream activities: ")
    assert text(midnight)[:19] in error["message"]
    assert moment(result.state("activities")["date_created"]) <= midnight


@pytest.mark.parametrize("order", ["newest", "oldest", "id", "inserted"])
@pytest.mark.parametrize("seed", [1, 2])
def test_each_row_of_a_list_with_bursts_is_read_once(
    make_api: Callable[..., LocalCloseApi], tmp_path: Path, order: ListOrder, seed: int
) -> None:
    """Many rows share a second or a moment, and offsets reach hardly more than the fullest second has."""
    chance = random.Random(seed)
    api = make_api(Volumes(users=1))
    api.settings.activity_order = api.settings.task_order = order
    api.settings.filter_precision = chance.choice(("millisecond", "second"))
    api.settings.error_wording = chance.choice(("old", "new"))
    page_size, began = chance.choice((2, 3, 10, 25)), (now() - DAY).replace(microsecond=0)
    api.settings.max_limit["task"] = page_size
    for kind, resource in (("Note", "activity"), ("task", "task")):
        rows: list[str] = []
        for count, spread in ((50, 9 * DAY), (60, 20 * SECOND), (40, 30 * SECOND)):
            rows += api.store.load_many(kind, count, began - 10 * DAY, began - 10 * DAY + spread, lead_id=None)
        rows += api.store.load_many(kind, chance.randrange(1, 70), began - 5 * DAY, lead_id=None)
        found = [api.store.objects[one] for one in rows]
        seconds = Counter((one.created if kind == "Note" else one.updated) // 1_000_000 for one in found)
        api.settings.max_skip[resource] = seconds.most_common(1)[0][1] + 2 * page_size
    forbid_after(api, 20_000)
    config = {"api_key": KEY, "base_url": api.url, "start_date": text(began - 12 * DAY), "capture_changes": False}
    connector = ForkedConnector(
        config, tmp_path, sizes={"page_size": {100: page_size}, "smaller_page_size": {100: page_size}}
    )
    streams = ("activities", "tasks")
    result = connector.read(streams)
    assert_complete(result, *streams)
    for stream in streams:
        assert sorted(result.ids(stream)) == sorted(ids(api, stream))


def test_a_full_read_stays_within_its_request_budget(
    make_api: Callable[..., LocalCloseApi], fork: Callable[..., Connector]
) -> None:
    """20,000 activities take at most 1.25 requests per page of rows, and at most 2 % of the rows are repeated."""
    rows = 20_000
    api = make_api(Volumes(users=1))
    api.settings.max_skip["activity"] = 8_000
    end = now() - HOUR
    api.store.load_many("Created", rows - 2_000, end - 300 * DAY, end, lead_id=None)
    # One busy day among quiet months, as after an import.
    api.store.load_many("TaskCompleted", 2_000, end - 100 * DAY, end - 99 * DAY, lead_id=None)
    result = fork(api).read(["activities"])
    assert_complete(result, "activities")
    assert set(result.ids("activities")) == ids(api, "activities")
    assert len(result.ids("activities")) <= 1.02 * rows
    assert len(api.requests) <= 1.25 * rows / PAGE


def test_no_record_is_lost_while_data_changes(
    make_api: Callable[..., LocalCloseApi], fork: Callable[..., Connector]
) -> None:
    """Rows are edited, deleted and added before every second request, so that rows move between pages."""
    api = make_api(Volumes(users=1, leads=400, activities=3_000, tasks=2_000))
    api.settings.max_skip |= {"activity": 1_200, "task": 700}
    api.settings.max_limit["task"] = 100
    chance = random.Random(5)
    began, start = now(), now() - 300 * DAY
    streams = ("activities", "tasks", "leads")
    there = {stream: ids(api, stream, start, began) for stream in streams}
    deleted: set[str] = set()

    def change(number: int) -> None:
        if number % 2:
            return
        store = api.store
        with store.lock:
            for name in ("activity", "task"):
                victim = chance.choice(list(store.collections[name].records))
                store.delete(victim)
                deleted.add(victim)
            store.edit(chance.choice(list(store.collections["task"].records)), text="moved")
            store.edit(chance.choice(list(store.leads.visible.records)), description="moved")
            store.add("Note")
            store.add("task")

    end = api.store.on_request(change)
    connector = fork(api, start_date=text(start), attribution_window_hours=0)
    first = connector.read(streams)
    end()
    second = connector.read(streams, first.states)
    for stream in streams:
        assert_complete(first, stream)
        assert_complete(second, stream)
        emitted = set(first.ids(stream)) | set(second.ids(stream))
        assert there[stream] - deleted - emitted == set()
        # The second sync emits what was edited or added during the first.
        assert ids(api, stream, began, now()) - set(second.ids(stream)) == set()
        assert rows_per_record(first, stream) <= 1.02
    assert len(deleted) > 30
    assert (now() - began) < 600 * SECOND

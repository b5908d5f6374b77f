"""Offset lists with any size, order and skip cap are read completely, with few requests and few rows twice."""

from collections import Counter
from typing import Any

import pytest

from integration_tests.close_api import Volumes
from integration_tests.close_api.settings import ListOrder
from integration_tests.harness.fixtures import Fork, MakeApi
from integration_tests.harness.moments import DAY, HOUR, MILLISECOND, SECOND, moment, now, text
from integration_tests.harness.truth import forbid_after, ids, requests_of

PAGE = 100


# The lists with bursts have other orders. All other tests read lists with the newest row first.
@pytest.mark.parametrize("order", ["id", "date_updated"])
def test_lists_in_any_order_are_read_completely(make_api: MakeApi, fork: Fork, order: ListOrder) -> None:
    api = make_api(Volumes(activities=1_500, tasks=900, users=1_150, leads=10))
    settings = api.settings
    settings.activity_order = settings.task_order = settings.user_order = order
    settings.task_order_by = "ignore"
    settings.max_skip |= {"activity": 600, "task": 400}
    settings.max_limit["task"] = 100
    start = now() - 300 * DAY
    streams = ("activities", "tasks", "users")
    expected = {
        "activities": ids(api, "activities", start - DAY, now()),
        "tasks": ids(api, "tasks", start, now()),
        "users": ids(api, "users"),
    }
    result = fork(api, start_date=text(start)).sync(streams)
    for stream in streams:
        assert set(result.ids(stream)) == expected[stream]
        assert len(result.ids(stream)) <= 1.02 * len(expected[stream])


def test_an_hour_with_more_rows_than_the_skip_cap_is_read_completely(make_api: MakeApi, fork: Fork) -> None:
    """An hour has 1,800 activities, of which offsets reach 300, and 400 tasks, of which they reach 100."""
    page, windows = 20, 2
    api = make_api(Volumes(users=1))
    api.settings.max_skip |= {"activity": 300, "task": 100}
    hour = now() - 40 * DAY
    for kind in ("Note", "Call", "Email"):
        api.store.load_many(kind, 600, hour, hour + HOUR, lead_id=None)
    for number in range(400):
        api.store.load_many("task", 1, hour + number * 8_750 * MILLISECOND)
    start = hour + 40 * DAY - windows * 30 * DAY + HOUR
    sizes = {"page_size": {PAGE: page, 10 * PAGE: 10 * page}}
    result = fork(api, sizes=sizes, start_date=text(start), attribution_window_hours=0).sync(["activities", "tasks"])
    for stream, path, rows in (("activities", "/activity/", 1_800), ("tasks", "/task/", 400)):
        assert set(result.ids(stream)) == ids(api, stream)
        assert len(result.ids(stream)) <= 1.02 * rows
        assert len(requests_of(api, path)) <= 1.5 * rows / page + windows + 1, stream


def test_a_timestamp_with_more_rows_of_several_types_than_the_skip_cap_is_read_completely(
    make_api: MakeApi, fork: Fork
) -> None:
    """A midnight has 3,000 activities, of which offsets reach 1,000, and 1,500 tasks, of which they reach 500."""
    api = make_api(Volumes(users=1, activities=300, tasks=90))
    api.settings.max_skip |= {"activity": 900, "task": 400}
    midnight = now().replace(hour=0, minute=0, second=0, microsecond=0) - 50 * DAY
    for kind in ("Note", "Call", "Meeting", "SMS", "Created", "OpportunityStatusChange"):
        api.store.load_many(kind, 500, midnight, lead_id=None)
    api.store.load_many("task", 1_500, midnight)
    end = now()
    result = fork(api, start_date=text(end - 366 * DAY)).sync(["activities", "tasks"])
    for stream in ("activities", "tasks"):
        assert set(result.ids(stream)) == ids(api, stream, None, end)
        assert result.repeated(stream) == []


def test_a_timestamp_with_more_rows_of_one_type_than_the_skip_cap_fails_the_stream(
    make_api: MakeApi, fork: Fork
) -> None:
    """Offsets reach 1,000 of the 1,500 meetings at one midnight. The message names the midnight."""
    api = make_api(Volumes(users=1, leads=60, activities=300))
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


@pytest.mark.parametrize(
    ("order", "precision", "wording", "page_size"),
    [
        ("newest", "millisecond", "old", 10),
        ("oldest", "second", "new", 3),
        ("id", "second", "old", 10),
        ("inserted", "millisecond", "new", 3),
    ],
)
def test_each_row_of_a_list_with_bursts_is_read_once(
    make_api: MakeApi, fork: Fork, order: ListOrder, precision: Any, wording: Any, page_size: int
) -> None:
    """Many rows share a second or a moment, and offsets reach hardly more than the fullest second has."""
    api = make_api(Volumes(users=1))
    api.settings.activity_order = api.settings.task_order = order
    api.settings.task_order_by = "ignore"
    api.settings.filter_precision = precision
    api.settings.error_wording = wording
    began = (now() - DAY).replace(microsecond=0)
    api.settings.max_limit["task"] = page_size
    for kind, resource in (("Note", "activity"), ("task", "task")):
        rows: list[str] = []
        for count, spread in ((50, 9 * DAY), (60, 20 * SECOND), (40, 30 * SECOND)):
            rows += api.store.load_many(kind, count, began - 10 * DAY, began - 10 * DAY + spread, lead_id=None)
        rows += api.store.load_many(kind, 35, began - 5 * DAY, lead_id=None)
        found = [api.store.objects[one] for one in rows]
        seconds = Counter((one.created if kind == "Note" else one.updated) // 1_000_000 for one in found)
        api.settings.max_skip[resource] = seconds.most_common(1)[0][1] + 2 * page_size
    forbid_after(api, 20_000)
    sizes = {"page_size": {PAGE: page_size}, "smaller_page_size": {PAGE: page_size}}
    streams = ("activities", "tasks")
    result = fork(api, sizes=sizes, start_date=text(began - 12 * DAY), capture_changes=False).sync(streams)
    for stream in streams:
        assert sorted(result.ids(stream)) == sorted(ids(api, stream))


def test_rows_of_one_moment_that_change_places_between_two_requests_are_all_read_once(
    make_api: MakeApi, fork: Fork
) -> None:
    api = make_api(Volumes(users=1))
    api.settings.list_ties = "random"
    for day in range(1, 11):
        for kind in ("Note", "task"):
            api.store.load_many(kind, 45, now() - day * DAY, lead_id=None)
    sizes = {"page_size": {PAGE: 10, 1_000: 10}}
    result = fork(api, sizes=sizes, start_date=text(now() - 12 * DAY)).sync(["activities", "tasks"])
    assert sorted(result.ids("activities")) == sorted(ids(api, "activities"))
    assert sorted(result.ids("tasks")) == sorted(ids(api, "tasks"))


def test_a_full_read_stays_within_its_request_budget(make_api: MakeApi, fork: Fork) -> None:
    """The activities take at most 1.25 requests per page of rows, and at most 2 % of the rows are repeated."""
    rows, page = 5_000, 25
    api = make_api(Volumes(users=1))
    api.settings.max_skip["activity"] = 400
    end = now() - HOUR
    api.store.load_many("Created", rows - 500, end - 300 * DAY, end, lead_id=None)
    # One busy day among quiet months, as after an import.
    api.store.load_many("TaskCompleted", 500, end - 100 * DAY, end - 99 * DAY, lead_id=None)
    result = fork(api, sizes={"page_size": {PAGE: page}}).sync(["activities"])
    assert set(result.ids("activities")) == ids(api, "activities")
    assert len(result.ids("activities")) <= 1.02 * rows
    assert len(api.requests) <= 1.25 * rows / page

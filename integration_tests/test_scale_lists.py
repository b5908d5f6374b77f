"""Offset lists with any size, order and skip cap are read completely, with few requests and few rows twice."""

from collections import Counter
from typing import Any

import pytest

from integration_tests.close_api import Volumes
from integration_tests.close_api.settings import ListOrder
from integration_tests.harness.fixtures import Fork, MakeApi
from integration_tests.harness.moments import DAY, HOUR, MILLISECOND, SECOND, now, text
from integration_tests.harness.truth import forbid_after, ids, requests_of

PAGE = 100


def test_an_hour_with_more_rows_than_the_skip_cap_is_read_completely(make_api: MakeApi, fork: Fork) -> None:
    """An hour has 1,800 activities, of which offsets reach 300, and 400 tasks, of which they reach 100."""
    page = 20
    windows = 4
    api = make_api(Volumes(users=1))
    api.settings.max_skip |= {"activity": 300, "task": 100}
    hour = now() - 40 * DAY
    for kind in ("Note", "Call", "Email"):
        api.store.load_many(kind, 600, hour, hour + HOUR, lead_id=None)
    for number in range(400):
        api.store.load_many("task", 1, hour + number * 8_750 * MILLISECOND)
    start = hour + 40 * DAY - windows * 15 * DAY + HOUR
    sizes = {"page_size": {PAGE: page, 10 * PAGE: 10 * page}}
    result = fork(api, sizes=sizes, start_date=text(start), attribution_window_hours=0).sync(["activities", "tasks"])
    for stream, path, rows in (("activities", "/activity/", 1_800), ("tasks", "/task/", 400)):
        assert set(result.ids(stream)) == ids(api, stream)
        assert len(result.ids(stream)) <= 1.02 * rows
        assert len(requests_of(api, path)) <= 1.5 * rows / page + windows + 1, stream


@pytest.mark.parametrize("rows_per_window", [20_000, 30])
@pytest.mark.parametrize(
    ("order", "precision", "wording", "page_size"),
    [
        ("newest", "millisecond", "old", 10),
        ("oldest", "second", "new", 3),
        ("id", "second", "old", 10),
        ("inserted", "millisecond", "new", 3),
        ("date_updated", "millisecond", "old", 10),
    ],
)
def test_each_row_of_a_list_with_bursts_is_read_once(
    make_api: MakeApi, fork: Fork, order: ListOrder, precision: Any, wording: Any, page_size: int, rows_per_window: int
) -> None:
    """Many rows share a second or a moment, and offsets reach hardly more than the fullest second has.

    A window is split where offsets end, or earlier if it has many rows. The fullest second has more than 30.
    """
    api = make_api(Volumes(users=1))
    api.settings.activity_order = order
    api.settings.task_order = order
    api.settings.task_order_by = "ignore"
    api.settings.filter_precision = precision
    api.settings.error_wording = wording
    began = (now() - DAY).replace(microsecond=0)
    api.settings.max_limit["task"] = page_size
    for kind, resource, stamp in (("Note", "activity", "created"), ("task", "task", "updated")):
        rows: list[str] = []
        for count, spread in ((50, 9 * DAY), (60, 20 * SECOND), (40, 30 * SECOND)):
            rows += api.store.load_many(kind, count, began - 10 * DAY, began - 10 * DAY + spread, lead_id=None)
        rows += api.store.load_many(kind, 35, began - 5 * DAY, lead_id=None)
        stamps = [getattr(api.store.objects[one], stamp) for one in rows]
        seconds = Counter(micros // 1_000_000 for micros in stamps)
        api.settings.max_skip[resource] = seconds.most_common(1)[0][1] + 2 * page_size
    forbid_after(api, 20_000)
    sizes = {
        "page_size": {PAGE: page_size},
        "smaller_page_size": {PAGE: page_size},
        "rows_per_window": {20_000: rows_per_window},
    }
    streams = ("activities", "tasks")
    result = fork(api, sizes=sizes, start_date=text(began - 12 * DAY), capture_changes=False).sync(streams)
    for stream in streams:
        assert sorted(result.ids(stream)) == sorted(ids(api, stream))

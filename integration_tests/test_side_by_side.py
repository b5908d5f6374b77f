"""Streams are read side by side: their requests alternate from the start, unless there are only a few workers."""

from collections import Counter

import pytest

from integration_tests.close_api import Volumes
from integration_tests.harness.fixtures import Fork, MakeApi
from integration_tests.harness.moments import DAY, now, text
from integration_tests.harness.truth import ids

PATHS = {"activities": "/activity/", "event_log": "/event/", "leads": "/data/search/", "tasks": "/task/"}


def test_the_first_requests_go_to_all_groups_of_endpoints(make_api: MakeApi, fork: Fork) -> None:
    """One after the other, the windows of activities and of the event log would be more than these requests."""
    start = now() - 240 * DAY
    api = make_api(Volumes(activities=500, events=100, leads=100, tasks=100, users=1), start=start)
    api.settings.latency = 0.02
    fork(api, start_date=text(start)).sync(list(PATHS))
    requested = [entry.path for entry in api.requests if entry.path in PATHS.values()]
    first = Counter(requested[:20])
    assert min(first[path] for path in PATHS.values()) >= 2


@pytest.mark.parametrize("num_workers", [1, 2, 40])
def test_any_number_of_workers_reads_everything(make_api: MakeApi, fork: Fork, num_workers: int) -> None:
    start = now() - 240 * DAY
    api = make_api(Volumes(activities=500, events=100, leads=100, tasks=100, users=1), start=start)
    result = fork(api, start_date=text(start), num_workers=num_workers).sync()
    for stream in ("leads", "tasks"):
        assert set(result.ids(stream)) == ids(api, stream)
        assert result.repeated(stream) == []

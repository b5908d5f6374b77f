"""Streams are read side by side: their requests alternate from the start, whatever the number of workers."""

from collections import Counter
from itertools import islice

import pytest

from integration_tests.close_api import LocalCloseApi, Volumes
from integration_tests.harness.fixtures import Fork, MakeApi
from integration_tests.harness.moments import DAY, now, text
from integration_tests.harness.truth import ids

GROUPS = {"activities": "activity", "event_log": "event", "leads": "data", "tasks": "task"}
WINDOWS = 8


@pytest.fixture
def api(make_api: MakeApi) -> LocalCloseApi:
    start = now() - WINDOWS * 30 * DAY
    return make_api(Volumes(activities=500, events=100, leads=100, tasks=100, users=1), start=start)


def groups_of(api: LocalCloseApi, number: int) -> Counter[str]:
    """Return how many of the first requests for windows went to each group of endpoints."""
    groups = (entry.path.strip("/").split("/")[0] for entry in api.requests)
    return Counter(islice((group for group in groups if group in GROUPS.values()), number))


def test_the_first_requests_go_to_all_groups_of_endpoints(api: LocalCloseApi, fork: Fork) -> None:
    api.settings.latency = 0.02
    began = now()
    fork(api, start_date=text(began - WINDOWS * 30 * DAY)).sync(list(GROUPS))
    # One after the other, the windows of activities and of the event log would be more than these requests.
    assert min(groups_of(api, 20)[group] for group in GROUPS.values()) >= 2


@pytest.mark.parametrize("num_workers", [2, 4, 40])
def test_any_number_of_workers_reads_everything(api: LocalCloseApi, fork: Fork, num_workers: int) -> None:
    began = now()
    start = text(began - WINDOWS * 30 * DAY)
    result = fork(api, start_date=start, num_workers=num_workers).sync([*GROUPS, "users", "custom_fields"])
    for stream in ("leads", "tasks"):
        assert set(result.ids(stream)) == ids(api, stream, None, began)
        assert result.repeated(stream) == []

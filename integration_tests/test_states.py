"""Global states, and a catalog that has a stream twice."""

from typing import Any

import pytest

from integration_tests.close_api import Volumes
from integration_tests.harness.fixtures import Fork, MakeApi
from integration_tests.harness.moments import DAY, now, text
from integration_tests.harness.truth import LOOKBACK, ids, state_of


@pytest.mark.parametrize("kind", ["GLOBAL", "LEGACY", "without a type"])
def test_a_state_of_all_streams_is_used_for_each_without_its_shared_state(
    make_api: MakeApi, fork: Fork, kind: str
) -> None:
    api = make_api(Volumes(tasks=30, users=1), end=now())
    cursor = now() - 50 * DAY
    streams = [state["stream"] for state in state_of(tasks=text(cursor))]
    streams[0]["stream_descriptor"]["namespace"] = "crm"
    old_state = {"tasks": streams[0]["stream_state"], "cdc": "lsn 7"}
    states: dict[str, dict[str, Any]] = {
        "GLOBAL": {"type": "GLOBAL", "global": {"shared_state": {"cdc": "lsn 7"}, "stream_states": streams}},
        "LEGACY": {"type": "LEGACY", "data": old_state},
        "without a type": {"data": old_state},
    }
    result = fork(api, capture_changes=False).sync(["tasks"], [states[kind]])
    assert set(result.ids("tasks")) == ids(api, "tasks", cursor - LOOKBACK["tasks"])


def test_a_stream_that_the_catalog_has_twice_is_read_once(make_api: MakeApi, fork: Fork) -> None:
    api = make_api(Volumes(tasks=30, users=1), end=now())
    result = fork(api).sync(["tasks", "tasks"], state_of(tasks=text(now() - 50 * DAY)))
    assert sorted(result.ids("tasks")) == sorted(ids(api, "tasks", now() - 50 * DAY - LOOKBACK["tasks"]))

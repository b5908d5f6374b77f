"""Global states, and states of streams that are read as a full refresh."""

from __future__ import annotations

from integration_tests.close_api import Volumes
from integration_tests.harness.fixtures import Fork, MakeApi
from integration_tests.harness.truth import DAY, LOOKBACK, assert_complete, ids, now, state_of, text


def test_a_global_state_is_used_for_each_stream_without_its_shared_state(make_api: MakeApi, fork: Fork) -> None:
    api = make_api(Volumes(tasks=30, users=1), end=now())
    cursor = now() - 50 * DAY
    streams = [state["stream"] for state in state_of(tasks=text(cursor))]
    shared = {"type": "GLOBAL", "global": {"shared_state": {"cdc": "lsn 7"}, "stream_states": streams}}
    result = fork(api, capture_changes=False).read(["tasks"], [shared])
    assert_complete(result, "tasks")
    assert set(result.ids("tasks")) == ids(api, "tasks", cursor - LOOKBACK["tasks"])


def test_a_full_refresh_reads_the_whole_stream_and_ignores_its_state(make_api: MakeApi, fork: Fork) -> None:
    api = make_api(Volumes(tasks=30, leads=9, users=3), end=now() - DAY)
    connector = fork(api)
    connector.sync_modes = {"tasks": "full_refresh", "users": "full_refresh"}
    result = connector.read(
        ["leads", "tasks", "users"], state_of(**dict.fromkeys(("leads", "tasks", "users"), text(now())))
    )
    assert_complete(result, "leads", "tasks", "users")
    assert {stream: set(result.ids(stream)) for stream in ("tasks", "users")} == {
        stream: ids(api, stream) for stream in ("tasks", "users")
    }
    assert result.ids("leads") == []

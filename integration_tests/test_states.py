"""Global states, full refreshes, and odd catalogs."""

import pytest

from integration_tests.close_api import Volumes
from integration_tests.harness.fixtures import Fork, MakeApi
from integration_tests.harness.moments import DAY, now, text
from integration_tests.harness.truth import LOOKBACK, ids, state_of


@pytest.mark.parametrize("kind", ["GLOBAL", "LEGACY"])
def test_a_state_of_all_streams_is_used_for_each_without_its_shared_state(
    make_api: MakeApi, fork: Fork, kind: str
) -> None:
    api = make_api(Volumes(tasks=30, users=1), end=now())
    cursor = now() - 50 * DAY
    streams = [state["stream"] for state in state_of(tasks=text(cursor))]
    streams[0]["stream_descriptor"]["namespace"] = "crm"
    states = {
        "GLOBAL": {"type": "GLOBAL", "global": {"shared_state": {"cdc": "lsn 7"}, "stream_states": streams}},
        "LEGACY": {"type": "LEGACY", "data": {"tasks": streams[0]["stream_state"], "cdc": "lsn 7"}},
    }
    result = fork(api, capture_changes=False).sync(["tasks"], [states[kind]])
    assert set(result.ids("tasks")) == ids(api, "tasks", cursor - LOOKBACK["tasks"])


def test_a_stream_that_the_catalog_has_twice_is_read_once(make_api: MakeApi, fork: Fork) -> None:
    api = make_api(Volumes(tasks=30, users=1), end=now())
    result = fork(api).sync(["tasks", "tasks"], state_of(tasks=text(now() - 50 * DAY)))
    assert sorted(result.ids("tasks")) == sorted(ids(api, "tasks", now() - 50 * DAY - LOOKBACK["tasks"]))


def test_a_full_refresh_ignores_a_state_and_has_what_is_edited_while_it_runs(make_api: MakeApi, fork: Fork) -> None:
    """A destination that overwrites its table would lack them until the next sync."""
    api = make_api(Volumes(tasks=30, leads=9, users=3, custom_fields=6), end=now() - DAY)
    streams = ["custom_fields", "leads", "tasks", "users"]
    edited = [min(ids(api, stream)) for stream in streams]

    def edit(number: int) -> None:
        for one in edited if number == 1 else []:
            api.store.edit(one)

    api.store.on_request(edit)
    connector = fork(api, start_date=text(now() - 400 * DAY))
    connector.sync_modes = dict.fromkeys(streams, "full_refresh")
    result = connector.sync(streams, state_of(**dict.fromkeys(streams, text(now()))))  # a state that it ignores
    for stream in streams:
        assert sorted(result.ids(stream)) == sorted(ids(api, stream))


def test_a_damaged_state_fails_its_stream_only(make_api: MakeApi, fork: Fork) -> None:
    api = make_api(Volumes(activities=20, leads=9, tasks=30, events=9, users=3, custom_fields=3), end=now() - DAY)
    damaged = ["custom_fields", "event_log", "leads", "tasks"]
    result = fork(api).read([*damaged, "activities", "users"], state_of(**dict.fromkeys(damaged, "garbage")))
    assert result.exit_code == 1
    assert {stream: result.status(stream) for stream in damaged} == dict.fromkeys(damaged, "INCOMPLETE")
    assert set(result.ids("activities")) == ids(api, "activities", end=now())  # a meeting may be in the future
    assert set(result.ids("users")) == ids(api, "users")
    assert sorted(error["message"].split(" can't be read")[0] for error in result.errors) == [
        f"Stream {stream}: its saved state" for stream in damaged
    ]
    assert {entry.path for entry in api.requests} == {"/activity/", "/user/"}
    # Another state would take the place of the damaged one, and the next sync would not follow the log since then.
    saved = {state["stream"]["stream_descriptor"]["name"] for state in result.of("STATE")}
    assert saved == {"activities", "users"}

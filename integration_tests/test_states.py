"""States of other connectors and other versions, and states that are damaged or impossible."""

from __future__ import annotations

from typing import Any

from integration_tests.close_api import Volumes
from integration_tests.harness.fixtures import Fork, MakeApi
from integration_tests.harness.running import STREAMS
from integration_tests.harness.truth import (
    CURSOR_FIELD,
    DAY,
    LOOKBACK,
    MILLISECOND,
    assert_complete,
    ids,
    now,
    saved_cursor,
    state_of,
    text,
)

WITHOUT_LATE_CHANGES = {"custom_fields", "event_log", "users"}
VOLUMES = Volumes(activities=300, leads=60, tasks=180, events=100, users=20, custom_fields=10)


def test_states_of_other_connectors_are_accepted(make_api: MakeApi, fork: Fork) -> None:
    """The states are those of the public Airbyte connector and of the CDK's cursors, and one of an unknown stream."""
    began = now()
    api = make_api(VOLUMES, end=began)
    cursor = began - 20 * DAY
    value = text(cursor)
    plain = text(cursor)[:19] + "Z"
    forms: dict[str, str | dict[str, Any]] = {
        "leads": {"date_updated": value},
        "tasks": {"date_updated": plain},
        "users": {"date_updated": value},
        "event_log": {
            "state_type": "date-range",
            "slices": [{"start": text(began - 90 * DAY), "end": value, "most_recent_cursor_value": value}],
        },
        "custom_fields": {
            "states": [
                {"partition": {"object_type": kind}, "cursor": {"date_updated": text(cursor + days * DAY)}}
                for days, kind in enumerate(("lead", "shared"))
            ],
            "use_global_cursor": False,
        },
        "activities": {"date_created": value},
        "opportunities": {"date_updated": value},
    }
    result = fork(api, start_date=text(began - 300 * DAY)).read(state=state_of(**forms))
    assert_complete(result, *STREAMS)
    logged = {event.data()["object_id"] for event in api.store.events.visible.records.values()}
    whole_second = cursor.replace(microsecond=0)
    for stream in STREAMS:
        start = whole_second if stream == "tasks" else cursor
        expected, emitted = ids(api, stream, start - LOOKBACK[stream], began), set(result.ids(stream))
        assert expected <= emitted, stream
        # Outside the windows, only records that the event log reports may be emitted.
        assert emitted - expected <= (set() if stream in WITHOUT_LATE_CHANGES else logged), stream
        assert result.repeated(stream) == []
        assert result.ids(stream), stream
    assert not [error for error in result.errors if "opportunities" in str(error)]


def test_a_state_in_the_future_does_not_stop_later_syncs_from_reading(make_api: MakeApi, fork: Fork) -> None:
    began = now()
    api = make_api(VOLUMES, end=began - 60 * DAY)
    ahead = state_of(**{stream: text(began + 400 * DAY) for stream in CURSOR_FIELD})
    connector = fork(api)
    first = connector.read(state=ahead)
    assert_complete(first, *STREAMS)
    for stream in STREAMS:
        assert saved_cursor(first, stream) <= now()
        assert any(stream in line and "future" in line for line in first.logs("WARN")), stream
    new = {
        "activities": api.store.add("Note", lead_id=None)["id"],
        "leads": api.store.add("lead")["id"],
        "tasks": api.store.add("task")["id"],
        "users": api.store.add("user")["id"],
        "custom_fields": api.store.add("custom_field.lead")["id"],
    }
    second = connector.read(state=first.states)
    assert_complete(second, *STREAMS)
    for stream, record_id in new.items():
        assert record_id in second.ids(stream), stream
    assert set(second.ids("event_log")) == ids(api, "event_log", began - MILLISECOND)


def test_a_read_with_a_state_of_the_year_1_starts_at_the_start_date(make_api: MakeApi, fork: Fork) -> None:
    api = make_api(Volumes(activities=9, leads=9, tasks=9, users=3, custom_fields=3, events=9), end=now())
    year_one = "0001-01-01T00:00:00+00:00"
    states = {name: {CURSOR_FIELD[name]: year_one, "event_log_position": year_one} for name in STREAMS}
    result = fork(api).read(state=state_of(**states))
    assert_complete(result, *STREAMS)
    for stream in STREAMS:
        assert set(result.ids(stream)) >= ids(api, stream, now() - 29 * DAY, now()), stream


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

"""The event log of the local API."""

from typing import Any

import pytest

from integration_tests.close_api import LocalCloseApi
from integration_tests.harness.warehouse import Clock

from .conftest import Client


def add_notes(api: LocalCloseApi, clock: Clock, count: int) -> None:
    for _ in range(count):
        api.store.add("Note")
        clock.advance(seconds=1)


@pytest.mark.parametrize(
    ("with_cursor", "keeps", "resent", "expected"),
    [
        ("honour", False, True, 2),
        ("honour", False, False, 4),
        ("honour", True, False, 2),
        ("ignore", False, True, 4),
        ("ignore", True, True, 2),
        ("reject", True, True, None),
    ],
)
def test_a_date_filter_next_to_a_cursor_has_the_effect_of_the_settings(
    api: LocalCloseApi, client: Client, clock: Clock, with_cursor: Any, keeps: bool, resent: bool, expected: int | None
) -> None:
    api.settings.event_date_filter_with_cursor = with_cursor
    api.settings.event_cursor_keeps_bounds = keeps
    add_notes(api, clock, 5)
    bounds = {"date_updated__gte": "2026-01-15T12:00:02"}
    cursor = client.json("/event/", _limit=1, **bounds)["cursor_next"]
    response = client.get("/event/", _cursor=cursor, **(bounds if resent else {}))
    assert response.status_code == (400 if expected is None else 200)
    if expected is not None:
        assert len(response.json()["data"]) == expected


def test_events_are_kept_for_30_days(api: LocalCloseApi, client: Client, clock: Clock) -> None:
    add_notes(api, clock, 1)
    clock.advance(days=29, hours=23)
    assert len(client.ids("/event/")) == 1
    clock.advance(hours=1, minutes=2)
    assert client.ids("/event/") == []


def test_updates_within_seconds_are_folded_into_one_event(api: LocalCloseApi, client: Client, clock: Clock) -> None:
    note = api.store.add("Note", note="one", lead_id=None)["id"]
    for text in ("two", "three"):
        clock.advance(seconds=10)
        api.store.edit(note, note=text)
    events = client.updates_of(note)
    assert len(events) == 1
    assert events[0]["previous_data"]["note"] == "one"
    assert events[0]["data"]["note"] == "three"
    assert events[0]["date_created"] < events[0]["date_updated"]
    assert {"date_updated", "note"} <= set(events[0]["changed_fields"])
    clock.advance(minutes=5)
    api.store.edit(note, note="four")
    assert len(client.updates_of(note)) == 2


def test_an_event_is_stamped_three_milliseconds_after_the_change(api: LocalCloseApi, client: Client) -> None:
    api.store.add("Note")
    event = client.json("/event/")["data"][0]
    assert event["data"]["date_updated"] == "2026-01-15T12:00:00+00:00"
    assert event["date_updated"] == "2026-01-15T12:00:00.003000"
    assert event["changed_fields"] == []
    assert event["previous_data"] == {}


def test_events_can_appear_late_and_out_of_order(api: LocalCloseApi, client: Client, clock: Clock) -> None:
    lags = iter([120.0, 0.0])
    api.settings.event_lag = lambda _: next(lags)
    late = api.store.add("Note")["id"]
    clock.advance(seconds=1)
    early = api.store.add("Note")["id"]
    assert [row["object_id"] for row in client.json("/event/")["data"]] == [early]
    clock.advance(seconds=120)
    assert [row["object_id"] for row in client.json("/event/")["data"]] == [early, late]

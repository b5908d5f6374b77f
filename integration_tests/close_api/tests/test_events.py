"""The event log of the local API."""

from datetime import timedelta
from typing import Any

import pytest

from integration_tests.close_api import LocalCloseApi

from .conftest import NOON, Client, Clock


def add_notes(api: LocalCloseApi, clock: Clock, count: int) -> None:
    for _ in range(count):
        api.store.add("Note")
        clock.forward(seconds=1)


def read_all_pages(client: Client, **params: Any) -> list[str]:
    ids: list[str] = []
    page = client.json("/event/", **params)
    while True:
        ids += [row["id"] for row in page["data"]]
        if page["cursor_next"] is None:
            return ids
        page = client.json("/event/", _cursor=page["cursor_next"], **params)


def test_pages_have_at_most_50_events_and_the_newest_first(api: LocalCloseApi, client: Client, clock: Clock) -> None:
    add_notes(api, clock, 120)
    page = client.json("/event/", _limit=500)
    assert len(page["data"]) == 50
    assert page["cursor_previous"] is None
    stamps = [row["date_updated"] for row in page["data"]]
    assert stamps == sorted(stamps, reverse=True)
    assert "+" not in stamps[0]
    assert len(set(read_all_pages(client))) == 120


def test_cursor_previous_leads_to_the_previous_page(api: LocalCloseApi, client: Client, clock: Clock) -> None:
    add_notes(api, clock, 7)
    first = client.json("/event/", _limit=3)
    second = client.json("/event/", _limit=3, _cursor=first["cursor_next"])
    back = client.json("/event/", _limit=3, _cursor=second["cursor_previous"])
    assert back["data"] == first["data"]
    assert back["cursor_previous"] is None


def test_an_empty_cursor_is_accepted_and_an_invalid_one_gets_400(client: Client) -> None:
    assert client.json("/event/", _cursor="")["data"] == []
    assert client.get("/event/", _cursor="nonsense").status_code == 400


def test_events_can_be_filtered_by_date_updated(api: LocalCloseApi, client: Client, clock: Clock) -> None:
    add_notes(api, clock, 5)
    assert len(read_all_pages(client, date_updated__gte="2026-01-15T12:00:03")) == 2
    assert (
        len(read_all_pages(client, date_updated__lt="2026-01-15T12:00:03", date_updated__gt="2026-01-15T12:00:01")) == 2
    )


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
    event = client.ids("/event/")[0]
    assert client.json(f"/event/{event}/")["id"] == event
    clock.forward(days=30, minutes=2)
    assert client.ids("/event/") == []
    assert client.get(f"/event/{event}/").status_code == 404


def test_unlisted_combinations_of_filters_have_the_effect_of_the_setting(api: LocalCloseApi, client: Client) -> None:
    lead = api.store.add("lead")["id"]
    note = api.store.add("Note", lead_id=lead)["id"]
    api.store.add("task", _type="lead", lead_id=None)
    assert len(client.ids("/event/", object_type="activity.note", action="created")) == 1
    assert len(client.ids("/event/", lead_id=lead)) == 2
    assert [row["object_id"] for row in client.json("/event/", object_id=note, action="created")["data"]] == [note]
    assert len(client.ids("/event/", action="created")) == 3
    assert len(client.ids("/event/", object_type="activity.note")) == 1
    api.settings.event_unlisted_filters = "ignore"
    assert len(client.ids("/event/", object_type="activity.note")) == 3
    api.settings.event_unlisted_filters = "reject"
    assert client.get("/event/", object_type="activity.note").status_code == 400


@pytest.mark.parametrize("hidden", ["missing", "null"])
def test_a_key_without_admin_rights_gets_no_data_of_old_events(
    api: LocalCloseApi, client: Client, clock: Clock, hidden: Any
) -> None:
    api.settings.admin = False
    api.settings.event_data_for_non_admin = hidden
    api.store.add("Note")
    assert client.json("/event/")["data"][0]["data"]["_type"] == "Note"
    clock.forward(minutes=61)
    event = client.json("/event/")["data"][0]
    assert event.get("data") is None
    assert ("data" in event) is (hidden == "null")
    assert ("previous_data" in event) is (hidden == "null")


def test_updates_within_seconds_are_folded_into_one_event(api: LocalCloseApi, client: Client, clock: Clock) -> None:
    note = api.store.add("Note", note="one", lead_id=None)["id"]
    for text in ("two", "three"):
        clock.forward(seconds=10)
        api.store.edit(note, note=text)
    events = client.json("/event/", object_id=note, action="updated")["data"]
    assert len(events) == 1
    assert events[0]["previous_data"]["note"] == "one"
    assert events[0]["data"]["note"] == "three"
    assert events[0]["date_created"] < events[0]["date_updated"]
    assert {"date_updated", "note"} <= set(events[0]["changed_fields"])
    clock.forward(minutes=5)
    api.store.edit(note, note="four")
    assert len(client.ids("/event/", object_id=note, action="updated")) == 2


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
    clock.forward(seconds=1)
    early = api.store.add("Note")["id"]
    assert [row["object_id"] for row in client.json("/event/")["data"]] == [early]
    clock.forward(seconds=120)
    assert [row["object_id"] for row in client.json("/event/")["data"]] == [early, late]


def test_the_generated_log_spans_the_last_30_days(serve: Any) -> None:
    api = serve(activities=30, leads=5, events=80)
    client = Client(api)
    assert len(read_all_pages(client)) == 80
    oldest = (NOON - timedelta(days=30)).isoformat()
    assert len(read_all_pages(client, date_updated__gte=oldest)) == 80
    client.session.close()

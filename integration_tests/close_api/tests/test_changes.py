"""Changes of data in the local API: the records that they change and the events that they create."""

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from integration_tests.close_api import LocalCloseApi, Volumes
from integration_tests.harness.warehouse import Clock

from .conftest import NOON, Client


def logged(client: Client, **params: Any) -> Counter[tuple[str, str]]:
    return Counter((row["object_type"], row["action"]) for row in client.json("/event/", **params)["data"])


@pytest.fixture
def lead(api: LocalCloseApi, clock: Clock) -> str:
    lead_id: str = api.store.add("lead")["id"]
    clock.advance(hours=1)
    return lead_id


@pytest.mark.parametrize("kind", ["Note", "task", "contact", "opportunity"])
def test_a_change_of_a_child_updates_date_updated_of_its_lead(
    api: LocalCloseApi, client: Client, clock: Clock, lead: str, kind: str
) -> None:
    child = api.store.add(kind, lead_id=lead)["id"]
    assert client.json(f"/lead/{lead}/")["date_updated"] == clock.now.isoformat()
    clock.advance(hours=1)
    api.store.edit(child)
    assert client.json(f"/lead/{lead}/")["date_updated"] == clock.now.isoformat()
    clock.advance(hours=1)
    api.store.delete(child)
    assert client.json(f"/lead/{lead}/")["date_updated"] == clock.now.isoformat()
    # Only another list of contacts is an event of the lead.
    assert bool(client.updates_of(lead)) is (kind == "contact")


def test_created_activities_and_users_create_no_events(api: LocalCloseApi, client: Client) -> None:
    created = api.store.add("Created", lead_id=None)["id"]
    api.store.delete(created)
    user = api.store.add("user")["id"]
    api.store.edit(user, first_name="Zoë")
    assert client.ids("/event/") == []


@pytest.mark.parametrize("moves", [True, False])
def test_a_merge_moves_children_and_creates_events(
    api: LocalCloseApi, client: Client, clock: Clock, lead: str, moves: bool
) -> None:
    api.settings.merge_moves_date_updated = moves
    note = api.store.add("Note", lead_id=lead)
    destination = api.store.add("lead")["id"]
    clock.advance(hours=1)
    merged = api.store.merge(lead, destination)
    assert merged["lead_id"] == destination
    assert client.get(f"/lead/{lead}/").status_code == 404
    moved = client.json(f"/activity/{note['id']}/")
    assert moved["lead_id"] == destination
    assert (moved["date_updated"] != note["date_updated"]) is moves
    events = [row for row in client.json("/event/")["data"] if "merge_source_lead_id" in row["meta"]]
    assert all(row["meta"]["merge_destination_lead_id"] == destination for row in events)
    assert Counter((row["object_type"], row["action"]) for row in events) == {
        ("activity.note", "updated"): 1,
        ("lead", "updated"): 1,
        ("lead", "deleted"): 1,
        ("lead", "merged"): 1,
        ("lead_merge", "created"): 1,
    }
    event = next(row for row in events if row["action"] == "merged")
    assert event["lead_id"] == event["data"]["id"] == destination


def test_completing_a_task_creates_an_activity_and_reopening_it_deletes_the_activity(
    api: LocalCloseApi, client: Client, clock: Clock, lead: str
) -> None:
    task = api.store.add("task", lead_id=lead, _type="lead", is_complete=False)["id"]
    clock.advance(hours=1)
    activity = api.store.complete_task(task)
    assert client.json(f"/task/{task}/")["is_complete"] is True
    assert client.ids("/activity/task_completed/") == [activity["id"]]
    assert logged(client, date_updated__gte=clock.now.isoformat()) == {
        ("activity.task_completed", "created"): 1,
        ("task.lead", "completed"): 1,
        ("lead", "updated"): 1,
    }
    api.store.reopen_task(task)
    assert client.ids("/activity/task_completed/") == []
    assert logged(client)["activity.task_completed", "deleted"] == 1


def test_rescheduling_a_meeting_moves_its_dates(api: LocalCloseApi, client: Client) -> None:
    meeting = api.store.add("Meeting", starts_at="2026-02-01T10:00:00+00:00")
    assert meeting["date_created"] == meeting["starts_at"] > meeting["date_updated"]
    api.store.reschedule_meeting(meeting["id"], NOON + timedelta(days=40))
    moved = client.json(f"/activity/{meeting['id']}/")
    assert moved["date_created"] == moved["starts_at"] == "2026-02-24T12:00:00+00:00"
    event = client.updates_of(meeting["id"])[0]
    assert "date_created" in event["changed_fields"]


def test_the_same_seed_generates_the_same_data() -> None:
    volumes = Volumes(activities=30, leads=5, tasks=9, events=10, users=3, custom_fields=10)
    stores = [LocalCloseApi(volumes, end=NOON).store for _ in range(2)]
    first, second = ({record.id: record.raw for record in store.objects.values()} for store in stores)
    assert first == second

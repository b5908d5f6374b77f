"""Every stream read from the start, read again after changes, and once more when nothing is new."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from integration_tests.close_api import LocalCloseApi, Volumes
from integration_tests.close_api.kinds import ACTIVITY_PATHS, CUSTOM_FIELD_OBJECTS, TASK_TYPES
from integration_tests.conftest import KEY
from integration_tests.running import STREAMS, Connector, Result
from integration_tests.schemas import schema_errors
from integration_tests.truth import (
    DAY,
    HOUR,
    LOOKBACK,
    MILLISECOND,
    assert_complete,
    clock_at,
    ids,
    newest,
    now,
    text,
)
from integration_tests.truth import saved_cursor as cursor_of

VOLUMES = Volumes(activities=450, leads=80, tasks=270, events=260, users=12, custom_fields=20)
START = {"custom_fields": None, "users": None}
# The general list leaves threads out: their emails are in it.
ACTIVITY_TYPES = set(ACTIVITY_PATHS) - {"EmailThread"}


@dataclass
class Changes:
    """What was changed between the first and the second read."""

    seen: dict[str, set[str]]
    deleted: set[str]
    late: set[str]


@dataclass
class Reads:
    """What came of the three reads, and what the server held by then."""

    schemas: dict[str, dict[str, Any]]
    present: dict[str, set[str]]
    newest: dict[str, datetime]
    first: Result
    changes: Changes
    second: Result
    second_requests: int
    expected_second: dict[str, set[str]]
    sources: dict[str, dict[str, Any]]
    events: dict[str, dict[str, Any]]
    third: Result
    third_requests: int


@pytest.fixture(scope="module")
def reads(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reads]:
    began = now()
    start = began - 200 * DAY
    with LocalCloseApi(VOLUMES, end=began - HOUR) as api:
        _load_what_the_changes_need(api, began)
        folder: Path = tmp_path_factory.mktemp("reads")
        connector = Connector({"api_key": KEY, "base_url": api.url, "start_date": text(start)}, folder)
        schemas = {one["name"]: one["json_schema"] for one in connector.discover().of("CATALOG")[0]["streams"]}
        lower = dict.fromkeys(STREAMS, start) | {"activities": start - DAY, "event_log": began - 30 * DAY}
        present = {
            stream: ids(api, stream, *((None, None) if stream in START else (lower[stream], began)))
            for stream in STREAMS
        }
        newest_by_stream = {stream: newest(api, stream, began) for stream in STREAMS}
        sources = {record.id: record.data() for record in api.store.objects.values()}
        events = {record.id: record.data() for record in api.store.events.visible.records.values()}
        first = connector.read()
        changes = _change(api, began)
        sources |= {record.id: record.data() for record in api.store.objects.values()}
        expected = {
            stream: ids(api, stream, cursor_of(first, stream) - LOOKBACK[stream], now() + MILLISECOND)
            for stream in STREAMS
        }
        api.clear_requests()
        second = connector.read(state=first.states)
        second_requests = len(api.requests)
        api.clear_requests()
        third = connector.read(state=second.states)
        yield Reads(
            schemas=schemas,
            present=present,
            newest=newest_by_stream,
            first=first,
            changes=changes,
            second=second,
            second_requests=second_requests,
            expected_second=expected,
            sources=sources,
            events=events,
            third=third,
            third_requests=len(api.requests),
        )


def _load_what_the_changes_need(api: LocalCloseApi, began: datetime) -> None:
    """Some activities within the attribution window, and an end of the log that the overlap reaches."""
    api.store.load_many("Note", 4, began - 6 * HOUR, began - 2 * HOUR)
    with clock_at(api, began - 100 * MILLISECOND):
        api.store.add("Note", lead_id=None)


def _change(api: LocalCloseApi, began: datetime) -> Changes:
    store = api.store
    seen: dict[str, set[str]] = {stream: set() for stream in STREAMS}
    notes = sorted(store.collections["activity/note"].records.values(), key=lambda one: one.created)
    tasks = [one for one in store.collections["task"].records.values() if not one.data()["is_complete"]]
    leads = sorted(store.leads.visible.records)
    seen["activities"].add(store.add("Note", note="Ça va 👋🏽")["id"])
    seen["activities"].add(store.edit(notes[-2].id, note="edited within the attribution window")["id"])
    seen["activities"].add(store.complete_task(tasks[0].id)["id"])
    seen["activities"].add(store.merge(leads[0], leads[1])["id"])
    store.edit(leads[2], status_id=store.factory.world.lead_statuses[0].id)
    store.add("contact", lead_id=leads[3])
    seen["leads"] = {leads[1], leads[2], leads[3], store.add("lead")["id"]}
    seen["tasks"] = {tasks[0].id, store.edit(tasks[1].id)["id"], store.add("task", date="2024-05-06")["id"]}
    users = sorted(store.collections["user"].records)
    seen["users"] = {store.add("user")["id"], store.edit(users[-1], first_name="Zoë")["id"]}
    fields = store.collections["custom_field/shared"].records
    seen["custom_fields"] = {store.add("custom_field.lead")["id"], store.edit(next(iter(fields)), name="é")["id"]}
    late = {store.edit(notes[0].id, note="edited late")["id"]}
    deleted = {leads[0], notes[1].id, tasks[2].id}
    store.delete(notes[1].id)
    store.delete(tasks[2].id)
    late |= set(store.children_of(leads[1]))  # moved there by the merge
    seen["event_log"] = ids(api, "event_log", began)
    return Changes(seen, deleted, late)


@pytest.mark.parametrize("stream", STREAMS)
def test_first_read_is_complete_and_free_of_duplicates(reads: Reads, stream: str) -> None:
    assert_complete(reads.first, stream)
    assert reads.first.repeated(stream) == []
    assert set(reads.first.ids(stream)) == reads.present[stream]
    assert len(reads.present[stream]) > 10
    assert cursor_of(reads.first, stream) == reads.newest[stream]


@pytest.mark.parametrize("stream", STREAMS)
def test_second_read_brings_every_change_and_little_else(reads: Reads, stream: str) -> None:
    assert_complete(reads.second, stream)
    came, expected, changes = set(reads.second.ids(stream)), reads.expected_second[stream], reads.changes
    assert len(changes.seen[stream]) > 1
    assert changes.seen[stream] <= expected
    assert expected <= came
    # Beyond the windows only what did change may come.
    assert came - expected <= changes.late | changes.deleted
    assert reads.second.repeated(stream) == []
    assert len(came) < len(reads.present[stream]) / 2


@pytest.mark.parametrize("stream", [stream for stream in STREAMS if stream != "event_log"])
def test_records_show_the_state_of_the_server(reads: Reads, stream: str) -> None:
    """Every value arrives as the API has it: nulls, accents, emoji, numbers, dates without a time."""
    deleted = reads.changes.deleted
    last = {one["id"]: one for one in (*reads.first.records(stream), *reads.second.records(stream))}
    for record_id, record in last.items():
        source = reads.sources[record_id]
        if record_id in deleted or record_id in reads.changes.late:
            continue
        # The protocol's messages leave out what is null at the top of a record.
        assert {name: record.get(name) for name in source.keys() - {"custom"}} == {
            name: value for name, value in source.items() if name != "custom"
        }


@pytest.mark.parametrize("stream", STREAMS)
def test_records_validate_against_the_discovered_schema(reads: Reads, stream: str) -> None:
    assert not schema_errors(reads.schemas[stream], (*reads.first.records(stream), *reads.second.records(stream)))


def test_all_types_come(reads: Reads) -> None:
    assert {one["_type"] for one in reads.first.records("activities")} == ACTIVITY_TYPES
    assert {one["_type"] for one in reads.first.records("tasks")} == set(TASK_TYPES)
    kinds = {one["id"]: one["object_type"] for one in reads.first.records("custom_fields")}
    assert set(kinds.values()) == set(CUSTOM_FIELD_OBJECTS)
    shared = {one["id"] for one in reads.first.records("custom_fields") if one["is_shared"]}
    assert {field_id for field_id, kind in kinds.items() if kind == "shared"} == shared


def test_text_beyond_ascii_and_nulls(reads: Reads) -> None:
    notes = {one.get("note") for one in reads.first.records("activities")}
    assert {"Sends greetings 👋🏽", "多言語対応について質問", "Très intéressé, à rappeler"} <= notes
    assert any(one.get("lead_id") is None for one in reads.first.records("tasks"))
    assert any(one.get("name") is None for one in reads.first.records("leads"))
    assert any(one.get("user_id") is None for one in reads.first.records("activities"))


def test_a_date_stays_a_date(reads: Reads) -> None:
    dates = {one.get("date") for one in reads.first.records("tasks")}
    assert any(date is not None and len(date) == len("2024-05-06") for date in dates)
    assert any(date is not None and "T" in date for date in dates)
    assert None in dates
    assert "2024-05-06" in {one.get("date") for one in reads.second.records("tasks")}


def test_custom_values_of_leads(reads: Reads) -> None:
    found = 0
    for lead in reads.first.records("leads"):
        source = reads.sources[lead["id"]]
        values = {name.removeprefix("custom."): value for name, value in lead.items() if name.startswith("custom.")}
        assert "custom" not in lead
        assert {one["id"]: one["value"] for one in lead["custom_fields"]} == values
        if lead["id"] not in reads.changes.deleted:
            assert {f"custom.{name}": value for name, value in values.items()} == {
                name: value for name, value in source.items() if name.startswith("custom.")
            }
        found += len(values)
        assert {"contacts", "opportunities", "tasks", "addresses", "integration_links"} <= lead.keys()
    assert found > 100


def test_event_data_is_json_text(reads: Reads) -> None:
    events = [*reads.first.records("event_log"), *reads.second.records("event_log")]
    for event in events:
        data, before = event.get("data"), event["previous_data"]
        assert data is None or isinstance(orjson.loads(data), dict)
        assert isinstance(orjson.loads(before), dict)
        assert (data is None) is (event["action"] == "deleted")
    for event in reads.first.records("event_log"):
        source = reads.events[event["id"]]
        assert {name: source[name] for name in ("data", "previous_data")} == {
            name: orjson.loads(event.get(name, "null")) for name in ("data", "previous_data")
        }
    assert any("👋🏽" in event.get("data", "") for event in events)


def test_leads_have_their_children(reads: Reads) -> None:
    leads = reads.first.records("leads")
    for name in ("contacts", "opportunities", "tasks", "addresses", "integration_links"):
        assert any(lead[name] for lead in leads), name
    assert not any(task["is_complete"] for lead in leads for task in lead["tasks"])


def test_a_sync_with_nothing_new_takes_few_requests(reads: Reads) -> None:
    assert_complete(reads.third, *STREAMS)
    assert reads.third_requests <= 40
    assert reads.second_requests <= 40
    for stream in STREAMS:
        assert cursor_of(reads.third, stream) >= cursor_of(reads.second, stream)

"""Every stream is read from the start, again after changes, and a third time without changes."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from integration_tests.close_api import LocalCloseApi, Volumes
from integration_tests.harness.forked import ForkedConnector
from integration_tests.harness.moments import DAY, HOUR, MILLISECOND, moment, now, text
from integration_tests.harness.running import KEY, PROJECT, STREAMS
from integration_tests.harness.schemas import schema_errors
from integration_tests.harness.truth import CURSOR_FIELD, LOOKBACK, clock_at, ids
from integration_tests.harness.truth import saved_cursor as cursor_of

VOLUMES = Volumes(activities=450, leads=80, tasks=270, events=260, users=12, custom_fields=20)
COLUMNS: dict[str, list[str]] = yaml.safe_load((PROJECT / "unit_tests" / "columns.yaml").read_text())
# Close returns transcripts only on request. The local API has none.
TRANSCRIPTS = ("recording_transcript", "voicemail_transcript")


class Reads:
    """The results of the three reads, and the data of the server at the time of each.

    `changed` are the records that were changed between the first and the second read and belong to what that reads
    again, by stream; `late` and `deleted` are the other changes.
    """

    def __init__(self, api: LocalCloseApi, folder: Path, began: datetime) -> None:
        start = began - 200 * DAY
        connector = ForkedConnector({"api_key": KEY, "base_url": api.url, "start_date": text(start)}, folder)
        [catalog] = connector.discover().of("CATALOG")
        self.schemas = {stream["name"]: stream["json_schema"] for stream in catalog["streams"]}
        lower = {"activities": start - DAY, "event_log": began - 30 * DAY, "leads": start, "tasks": start}
        self.present = {stream: ids(api, stream, lower.get(stream), began) for stream in STREAMS}
        self.sources = {record.id: record.data() for record in api.store.objects.values()}
        self.first = connector.sync()
        self.changed, self.late, self.deleted = _change(api, began)
        self.sources |= {record.id: record.data() for record in api.store.objects.values()}
        since = {stream: cursor_of(self.first, stream) - LOOKBACK[stream] for stream in STREAMS}
        self.expected_second = {stream: ids(api, stream, since[stream], now() + MILLISECOND) for stream in STREAMS}
        api.clear_requests()
        self.second = connector.sync(state=self.first.states)
        self.second_requests = len(api.requests)
        api.clear_requests()
        self.third = connector.sync(state=self.second.states)
        self.third_requests = len(api.requests)


@pytest.fixture(scope="module")
def reads(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reads]:
    began = now()
    with LocalCloseApi(VOLUMES, end=began - HOUR) as api:
        _add_records_for_the_changes(api, began)
        yield Reads(api, tmp_path_factory.mktemp("reads"), began)


def _add_records_for_the_changes(api: LocalCloseApi, began: datetime) -> None:
    """Add activities within the attribution window, and an event that is within the lookback."""
    api.store.load_many("Note", 4, began - 6 * HOUR, began - 2 * HOUR)
    with clock_at(api, began - 100 * MILLISECOND):
        api.store.add("Note", lead_id=None)


def _change(api: LocalCloseApi, began: datetime) -> tuple[dict[str, set[str]], set[str], set[str]]:
    """Change records; return those that the second read has to emit, and those that were edited late or deleted."""
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
    converted = store.add("custom_field.lead", type="number", converting_to_type="text")["id"]
    seen["custom_fields"] = {converted, store.edit(next(iter(fields)), name="é")["id"]}
    late = {store.edit(notes[0].id, note="edited late")["id"]}
    deleted = {leads[0], notes[1].id, tasks[2].id}
    store.delete(notes[1].id)
    store.delete(tasks[2].id)
    late |= set(store.children_of(leads[1]))  # the merge moved them there
    seen["event_log"] = ids(api, "event_log", began)
    return seen, late, deleted


@pytest.mark.parametrize("stream", STREAMS)
def test_the_first_read_is_complete_and_free_of_duplicates(reads: Reads, stream: str) -> None:
    assert reads.first.repeated(stream) == []
    assert set(reads.first.ids(stream)) == reads.present[stream]
    assert len(reads.present[stream]) > 10
    emitted = [moment(record[CURSOR_FIELD[stream]]) for record in reads.first.records(stream)]
    assert cursor_of(reads.first, stream) == max(emitted)


@pytest.mark.parametrize("stream", STREAMS)
def test_the_second_read_emits_every_change_and_few_other_records(reads: Reads, stream: str) -> None:
    emitted = set(reads.second.ids(stream))
    expected = reads.expected_second[stream]
    assert len(reads.changed[stream]) > 1
    assert reads.changed[stream] <= expected
    assert expected <= emitted
    # Outside the windows, only records that changed may be emitted.
    assert emitted - expected <= reads.late | reads.deleted
    assert reads.second.repeated(stream) == []
    assert len(emitted) < len(reads.present[stream]) / 2


@pytest.mark.parametrize("stream", [stream for stream in STREAMS if stream != "event_log"])
def test_records_equal_those_of_the_server(reads: Reads, stream: str) -> None:
    """Every value is emitted as the API sends it: nulls, accents, emoji, numbers, dates without a time."""
    last = {one["id"]: one for one in (*reads.first.records(stream), *reads.second.records(stream))}
    for record_id, record in last.items():
        source = reads.sources[record_id]
        if record_id in reads.deleted | reads.late:
            continue
        # Messages leave out the top-level fields of a record that are null.
        expected = {name: value for name, value in source.items() if name != "custom"}
        assert {name: record.get(name) for name in expected} == expected


@pytest.mark.parametrize("stream", STREAMS)
def test_records_match_the_discovered_schema(reads: Reads, stream: str) -> None:
    assert not schema_errors(reads.schemas[stream], (*reads.first.records(stream), *reads.second.records(stream)))


def paths(value: Any, path: str) -> Iterator[str]:
    """Yield the paths of a value and of all values inside it."""
    yield path
    if isinstance(value, list):
        for one in value:
            yield from paths(one, f"{path}[]")
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from paths(inner, f"{path}.{name}")


@pytest.mark.parametrize("stream", STREAMS)
def test_every_known_column_is_emitted_with_a_value_and_no_other_column(reads: Reads, stream: str) -> None:
    """Else the comparison with the schemas would be of a part of them only."""
    found: set[str] = set()
    for record in (*reads.first.records(stream), *reads.second.records(stream)):
        for name, value in record.items():
            found.update(paths(value, name))
    known = {path for path in COLUMNS[stream] if not path.startswith(TRANSCRIPTS)}
    assert known - found == set()
    text = f"Stream {stream}: Close returned columns that the schema does not have"
    assert [line for line in reads.first.logs + reads.second.logs if line.startswith(text)] == []


def test_a_sync_without_changes_sends_few_requests(reads: Reads) -> None:
    assert reads.third_requests <= 40
    assert reads.second_requests <= 40
    for stream in STREAMS:
        assert cursor_of(reads.third, stream) >= cursor_of(reads.second, stream)

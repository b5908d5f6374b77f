"""Columns that Close returns and that the schema does not have: a sync names them once for each stream."""

from airbyte_cdk import AirbyteMessage, AirbyteRecordMessage, Type
from requests_mock import Mocker

from source_close.streams.records import with_undeclared_columns_named
from unit_tests.syncs import API, Log, Row, read_with_positions

STAMPS = {"date_created": "2025-06-15T09:00:00+00:00", "date_updated": "2025-06-15T10:00:00+00:00"}


def lines(log: Log) -> list[str]:
    return [message for message in log.messages if "columns that the schema does not have" in message]


def test_undeclared_columns_are_named_in_one_line_for_each_stream_and_are_emitted(api: Mocker, log: Log) -> None:
    users = [{"id": f"user_{number}", **STAMPS, "email": "x", "shoe_size": 42} for number in range(3)]
    users[1] |= {"badge": {"a": 1}, "custom.cf_1": "x"}
    api.get(f"{API}/user/", json={"data": users, "has_more": False})
    api.get(f"{API}/task/", json={"data": [{"id": "task_1", **STAMPS, "mood": "good"}], "has_more": False})
    reading = read_with_positions("users", "tasks", start_date="2025-06-15", whole_manifest=True)
    assert reading.statuses == {"users": "COMPLETE", "tasks": "COMPLETE"}
    assert [row for row in reading.records if row["id"].startswith("user")] == users
    assert sorted(line.partition(" They are")[0] for line in lines(log)) == [
        "Stream tasks: Close returned columns that the schema does not have: mood.",
        "Stream users: Close returned columns that the schema does not have: badge, shoe_size.",
    ]


def test_undeclared_columns_are_named_even_if_another_stream_fails(api: Mocker, log: Log) -> None:
    api.get(f"{API}/user/", json={"data": [{"id": "user_1", **STAMPS, "shoe_size": 42}], "has_more": False})
    api.get(f"{API}/task/", status_code=403, json={"error": "Forbidden"})
    reading = read_with_positions("users", "tasks", start_date="2025-06-15", whole_manifest=True)
    assert reading.statuses == {"users": "COMPLETE", "tasks": "INCOMPLETE"}
    assert len(lines(log)) == 1


def test_nothing_is_said_if_every_column_is_declared(api: Mocker, log: Log) -> None:
    lead = {"id": "lead_1", **STAMPS, "name": "Acme", "custom.cf_1": "Web", "custom": {"Source": "Web"}}
    api.post(f"{API}/data/search/", json={"data": [lead], "cursor": None})
    reading = read_with_positions("leads", start_date="2025-06-15", whole_manifest=True)
    assert reading.ids == ["lead_1"]
    assert lines(log) == []


def test_a_stream_whose_schema_has_another_name_has_no_undeclared_columns(log: Log) -> None:
    record = AirbyteRecordMessage(stream="statuses", data={"id": "stat_1", "label": "Won"}, emitted_at=0)
    messages = [AirbyteMessage(Type.RECORD, record=record)]
    schemas: dict[str, Row] = {"users": {"properties": {"id": {}}}}
    assert list(with_undeclared_columns_named(messages, schemas)) == messages
    assert lines(log) == []

"""The columns: those in columns.yaml, with their types in a form for destinations; and those that no schema has."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from airbyte_cdk import AirbyteMessage, AirbyteRecordMessage, Type
from jsonschema import Draft7Validator
from requests_mock import Mocker

from source_close.source import load_manifest, with_undeclared_columns_named
from unit_tests.syncs import API, DEFINED, STREAMS, Log, Row, cursor_of, leads, read_with_positions, stock_source

COLUMNS: dict[str, dict[str, str | list[str]]] = yaml.safe_load(Path(__file__).with_name("columns.yaml").read_text())
# The type that ColumnTypeTransformation gives to a column.
CONVERTED = {"boolean": "boolean", "json": "string", "text": "string"}
# Top-level columns that the connector makes.
MADE_HERE = {
    "activities": {"_ab_cdc_deleted_at"},
    "custom_fields": {"object_type"},
    "leads": {"_ab_cdc_deleted_at", "custom_fields"},
    "tasks": {"_ab_cdc_deleted_at"},
}
# Columns of email threads, which nobody has shown as activities.
WITHOUT_EVIDENCE = {"activities": {"emails", "latest_emails", "latest_normalized_subject", "n_emails", "participants"}}


def columns(stream: str) -> Row:
    [found] = [one for one in stock_source().streams({}) if one.name == stream]
    return dict(found.get_json_schema())


def nodes(schema: Any, path: str = "") -> Iterator[tuple[str, Row]]:
    """Yield a schema and every schema inside it, with their paths."""
    if not isinstance(schema, dict):
        return
    yield path, schema
    for name, column in schema.get("properties", {}).items():
        yield from nodes(column, f"{path}.{name}")
    yield from nodes(schema.get("items"), f"{path}[]")


def types_of(value: str | list[str]) -> set[str]:
    return {value} if isinstance(value, str) else set(value)


def conversions(stream: str) -> dict[str, str]:
    """Return the columns whose type the connector changes, with the new type."""
    kinds: dict[str, str] = {}
    for step in DEFINED[stream].get("transformations", []):
        kinds |= step.get("types", {})
    return {column: CONVERTED[kind] for column, kind in kinds.items()}


def declared(stream: str) -> dict[str, set[str]]:
    """Return the types of every column of a stream, keyed by its path."""
    return {path.removeprefix("."): types_of(node["type"]) - {"null"} for path, node in nodes(columns(stream))}


@pytest.mark.parametrize("stream", STREAMS)
def test_every_known_column_is_declared_with_its_type(stream: str) -> None:
    known = {**COLUMNS[stream], **conversions(stream)}
    expected = {path: types_of(value) for path, value in known.items()}
    found = {path: types for path, types in declared(stream).items() if path in known}
    assert found == expected


@pytest.mark.parametrize("stream", STREAMS)
def test_every_declared_column_is_known(stream: str) -> None:
    others = MADE_HERE.get(stream, set()) | WITHOUT_EVIDENCE.get(stream, set())
    assert set(columns(stream)["properties"]) - set(COLUMNS[stream]) == others


def test_leads_are_requested_with_every_column_of_their_schema() -> None:
    fields = load_manifest()["definitions"]["lookups"]["lead_fields"].split(",")
    assert len(fields) == len(set(fields))
    assert set(fields) == set(columns("leads")["properties"]) - MADE_HERE["leads"] | {"custom"}


@pytest.mark.parametrize("stream", STREAMS)
def test_a_schema_is_valid_and_has_the_id_and_the_cursor(stream: str) -> None:
    schema = columns(stream)
    Draft7Validator.check_schema(schema)
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert {"id", cursor_of(stream) or "id"} <= set(schema["properties"])
    assert "custom" not in schema["properties"]


@pytest.mark.parametrize("stream", STREAMS)
def test_schemas_are_open_and_nullable_and_destinations_understand_them(stream: str) -> None:
    for path, node in nodes(columns(stream)):
        types = types_of(node["type"])
        if "object" in types:
            assert node["additionalProperties"] is True, path
        elif "array" in types:
            assert "items" in node, path
        if path and not path.endswith(".id"):
            assert "null" in types, path
        assert set(node) & {"allOf", "anyOf", "oneOf", "not", "$ref", "required", "enum"} == set(), path
        assert node.get("format", "date") in {"date", "date-time"}, path


@pytest.mark.parametrize("stream", STREAMS)
def test_every_column_has_one_type_and_a_description(stream: str) -> None:
    for name, column in columns(stream)["properties"].items():
        assert len(types_of(column["type"]) - {"null"}) == 1, f"PyAirbyte and others can't tell the type of {name}"
        if not name.startswith("_ab_"):
            assert column.get("description"), name


def test_only_the_dates_of_events_have_no_time_zone() -> None:
    for stream in filter(cursor_of, STREAMS):
        types = {node["airbyte_type"] for _, node in nodes(columns(stream)) if node.get("format") == "date-time"}
        expected = "timestamp_without_timezone" if stream == "event_log" else "timestamp_with_timezone"
        assert types == {expected}, stream


STAMPS = {"date_created": "2025-06-15T09:00:00+00:00", "date_updated": "2025-06-15T10:00:00+00:00"}


def lines_about_columns(caplog: Log) -> list[str]:
    return [message for message in caplog.messages if "columns that the schema does not have" in message]


def test_undeclared_columns_are_named_in_one_line_for_each_stream_and_are_emitted(api: Mocker, caplog: Log) -> None:
    users = [{"id": f"user_{number}", **STAMPS, "email": "x", "shoe_size": 42} for number in range(3)]
    users[1] |= {"badge": {"a": 1}, "custom.cf_1": "x"}
    api.get(f"{API}/user/", json={"data": users, "has_more": False})
    api.get(f"{API}/task/", json={"data": [{"id": "task_1", **STAMPS, "mood": "good"}], "has_more": False})
    reading = read_with_positions("users", "tasks", start_date="2025-06-15", whole_manifest=True)
    assert reading.statuses == {"users": "COMPLETE", "tasks": "COMPLETE"}
    assert [row for row in reading.records if row["id"].startswith("user")] == users
    assert sorted(line.partition(" They are")[0] for line in lines_about_columns(caplog)) == [
        "Stream tasks: Close returned columns that the schema does not have: mood.",
        "Stream users: Close returned columns that the schema does not have: badge, shoe_size.",
    ]


def test_undeclared_columns_are_named_even_if_another_stream_fails(api: Mocker, caplog: Log) -> None:
    api.get(f"{API}/user/", json={"data": [{"id": "user_1", **STAMPS, "shoe_size": 42}], "has_more": False})
    api.get(f"{API}/task/", status_code=403, json={"error": "Forbidden"})
    reading = read_with_positions("users", "tasks", start_date="2025-06-15", whole_manifest=True)
    assert reading.statuses == {"users": "COMPLETE", "tasks": "INCOMPLETE"}
    assert len(lines_about_columns(caplog)) == 1


def test_nothing_is_said_if_every_column_is_declared(api: Mocker, caplog: Log) -> None:
    lead = {"id": "lead_1", **STAMPS, "name": "Acme", "custom.cf_1": "Web", "custom": {"Source": "Web"}}
    leads(api, {"json": {"data": [lead], "cursor": None}})
    reading = read_with_positions("leads", start_date="2025-06-15", whole_manifest=True)
    assert reading.ids == ["lead_1"]
    assert lines_about_columns(caplog) == []


def test_a_stream_whose_schema_has_another_name_has_no_undeclared_columns(caplog: Log) -> None:
    record = AirbyteRecordMessage(stream="statuses", data={"id": "stat_1", "label": "Won"}, emitted_at=0)
    messages = [AirbyteMessage(Type.RECORD, record=record)]
    schemas: dict[str, Row] = {"users": {"properties": {"id": {}}}}
    assert list(with_undeclared_columns_named(messages, schemas)) == messages
    assert lines_about_columns(caplog) == []

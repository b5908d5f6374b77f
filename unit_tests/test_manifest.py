"""The manifest: six streams, each fact once, schemas that a destination can use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft7Validator

from source_close.source import load_manifest
from unit_tests.streams import source

CURSOR_FIELDS = {
    "activities": "date_created",
    "custom_fields": "date_updated",
    "event_log": "date_updated",
    "leads": "date_updated",
    "tasks": "date_updated",
    "users": "date_updated",
}
# Columns of leads that the connector makes itself: the others are asked for by name.
MADE_HERE = {"custom_fields", "_ab_cdc_deleted_at"}
STREAMS: dict[str, dict[str, Any]] = {entry["name"]: entry for entry in source().resolved_manifest["streams"]}


def schema_of(stream: str) -> dict[str, Any]:
    schema: dict[str, Any] = STREAMS[stream]["schema_loader"]["schema"]
    return schema


def nodes(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema within a schema, with its path."""
    if not isinstance(schema, dict):
        return
    yield path, schema
    for name, column in schema.get("properties", {}).items():
        yield from nodes(column, f"{path}.{name}")
    yield from nodes(schema.get("items"), f"{path}[]")


def test_the_streams_are_six_with_these_cursors() -> None:
    assert {name: entry["incremental_sync"]["cursor_field"] for name, entry in STREAMS.items()} == CURSOR_FIELDS
    assert {name: entry["primary_key"] for name, entry in STREAMS.items()} == dict.fromkeys(CURSOR_FIELDS, "id")


def test_the_check_names_every_stream() -> None:
    assert load_manifest()["check"]["stream_names"] == list(CURSOR_FIELDS)


def test_both_sync_modes_are_offered() -> None:
    for stream in source().streams({}):
        described = stream.as_airbyte_stream()
        assert sorted(mode.value for mode in described.supported_sync_modes) == ["full_refresh", "incremental"]
        assert described.source_defined_primary_key == [["id"]]
        assert described.default_cursor_field == [CURSOR_FIELDS[stream.name]]
        assert described.source_defined_cursor is True


def test_leads_are_asked_for_every_column_of_their_schema() -> None:
    fields = STREAMS["leads"]["retriever"]["fields"]
    assert len(fields) == len(set(fields))
    assert set(fields) == set(schema_of("leads")["properties"]) - MADE_HERE | {"custom"}


@pytest.mark.parametrize("stream", CURSOR_FIELDS)
def test_schemas_are_open_nullable_and_described(stream: str) -> None:
    schema = schema_of(stream)
    Draft7Validator.check_schema(schema)
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert {"id", CURSOR_FIELDS[stream]} <= set(schema["properties"])
    assert "custom" not in schema["properties"]
    for path, node in nodes(schema):
        types = [node["type"]] if isinstance(node["type"], str) else node["type"]
        if "object" in types:
            assert node["additionalProperties"] is True, path
        if "array" in types:
            assert "items" in node or "object" in types, path
        if path and not path.endswith(".id"):
            assert "null" in types, path
        assert set(node) & {"allOf", "anyOf", "oneOf", "not", "$ref", "required", "enum"} == set(), path
        if "format" in node:
            assert node["format"] in {"date", "date-time"}, path
    for name, column in schema["properties"].items():
        if not name.startswith("_ab_"):
            assert column.get("description"), name


def test_event_stamps_have_no_zone_and_others_do() -> None:
    for stream in CURSOR_FIELDS:
        kind = schema_of(stream)["properties"][CURSOR_FIELDS[stream]]["airbyte_type"]
        expected = "timestamp_without_timezone" if stream == "event_log" else "timestamp_with_timezone"
        assert kind == expected


def test_page_sizes_and_overlaps() -> None:
    assert {name: entry["retriever"]["page_size"] for name, entry in STREAMS.items()} == {
        "activities": 100,
        "custom_fields": 100,
        "event_log": 50,
        "leads": 200,
        "tasks": 100,
        "users": 100,
    }
    assert {name: entry["incremental_sync"].get("lookback_window") for name, entry in STREAMS.items()} == {
        "activities": "{{ config['attribution_window'] }}",
        "custom_fields": "PT10M",
        "event_log": "PT5M",
        "leads": "PT10M",
        "tasks": "PT5M",
        "users": "PT10M",
    }
    assert STREAMS["event_log"]["retriever"]["retention"] == "P30D"


def test_a_second_that_exceeds_the_cap_is_read_by_every_type() -> None:
    assert len(STREAMS["activities"]["retriever"]["narrow_by"]) == 14
    assert {part["parameters"]["_type"] for part in STREAMS["tasks"]["retriever"]["narrow_by"]} == {
        "lead", "incoming_email", "email_followup", "missed_call", "answered_detached_call", "voicemail",
        "opportunity_due", "incoming_sms", "outgoing_call",
    }  # fmt: skip


def test_the_spec() -> None:
    spec = load_manifest()["spec"]["connection_specification"]
    properties = spec["properties"]
    Draft7Validator.check_schema(spec)
    assert spec["required"] == ["api_key"]
    assert spec["additionalProperties"] is True
    assert list(properties) == sorted(properties, key=lambda name: properties[name]["order"])
    assert [properties[name]["order"] for name in properties] == list(range(len(properties)))
    assert properties["api_key"]["airbyte_secret"] is True
    assert properties["base_url"]["airbyte_hidden"] is True
    window, workers = properties["attribution_window_hours"], properties["num_workers"]
    assert (window["type"], window["minimum"], window["maximum"], window["default"]) == ("integer", 0, 720, 24)
    assert (workers["type"], workers["minimum"], workers["maximum"], workers["default"]) == ("integer", 1, 40, 20)

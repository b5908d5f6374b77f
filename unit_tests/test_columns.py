"""The schemas: every column in columns.yaml, with its type, in a form that destinations can use."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from source_close.source import load_manifest
from unit_tests.syncs import DEFINED, STREAMS, Row, cursor_of, stock_source

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
    (found,) = [one for one in stock_source().streams({}) if one.name == stream]
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
    types = [value] if isinstance(value, str) else value
    return set(types) - {"null"}


def conversions(stream: str) -> dict[str, str]:
    """Return the columns whose type the connector changes, with the new type."""
    found: dict[str, str] = {}
    for step in DEFINED[stream].get("transformations", []):
        for column, conversion in step.get("types", {}).items():
            found[column] = CONVERTED[conversion]
    return found


def declared(stream: str) -> dict[str, set[str]]:
    """Return the types of every column of a stream, keyed by its path."""
    found: dict[str, set[str]] = {}
    for path, node in nodes(columns(stream)):
        found[path.removeprefix(".")] = types_of(node["type"])
    return found


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
    fields = load_manifest()["definitions"]["lookups"]["lead_fields"]
    assert len(fields) == len(set(fields))
    assert set(fields) == set(columns("leads")["properties"]) - MADE_HERE["leads"] | {"custom"}


@pytest.mark.parametrize("stream", STREAMS)
def test_schemas_are_open_nullable_and_described(stream: str) -> None:
    schema = columns(stream)
    Draft7Validator.check_schema(schema)
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert {"id", cursor_of(stream) or "id"} <= set(schema["properties"])
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


def test_only_the_dates_of_events_have_no_time_zone() -> None:
    for stream in filter(cursor_of, STREAMS):
        kind = columns(stream)["properties"]["date_updated"]["airbyte_type"]
        expected = "timestamp_without_timezone" if stream == "event_log" else "timestamp_with_timezone"
        assert kind == expected

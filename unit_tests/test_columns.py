"""The manifest declares every column in columns.yaml, with its type."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from unit_tests.syncs import STREAMS
from unit_tests.test_manifest import columns, nodes, resolved_streams

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


def types_of(value: str | list[str]) -> set[str]:
    types = [value] if isinstance(value, str) else value
    return set(types) - {"null"}


def conversions(stream: str) -> dict[str, str]:
    """Return the columns whose type the connector changes, with the new type."""
    found: dict[str, str] = {}
    for step in resolved_streams()[stream].get("transformations", []):
        for column, conversion in step.get("types", {}).items():
            found[column] = CONVERTED[conversion]
    return found


def declared(stream: str) -> dict[str, set[str]]:
    """Return the types of every column of a stream, keyed by its path."""
    found: dict[str, set[str]] = {}
    for path, node in nodes(columns(stream)):
        found[path.removeprefix(".")] = types_of(node["type"])
    return found


def differences(stream: str) -> Iterator[str]:
    found = declared(stream)
    changed: dict[str, Any] = conversions(stream)
    for path, value in COLUMNS[stream].items():
        expected = types_of(changed.get(path, value))
        if path not in found:
            yield f"{stream}: {path} is not declared."
        elif found[path] != expected:
            yield f"{stream}: {path} is declared as {sorted(found[path])} instead of {sorted(expected)}."


@pytest.mark.parametrize("stream", STREAMS)
def test_every_known_column_is_declared_with_its_type(stream: str) -> None:
    found = list(differences(stream))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("stream", STREAMS)
def test_every_declared_column_is_known(stream: str) -> None:
    others = MADE_HERE.get(stream, set()) | WITHOUT_EVIDENCE.get(stream, set())
    assert set(columns(stream)["properties"]) - set(COLUMNS[stream]) == others

"""What is changed in records on their way."""

from __future__ import annotations

from typing import Any

import pytest

from source_close.components.transformations import (
    CustomFieldsTransformation,
    DropFieldsTransformation,
    JsonTextTransformation,
)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"data": {"n": 1}}, {"data": '{"n":1}', "previous_data": None}),
        ({}, {"data": None, "previous_data": None}),
        ({"data": None, "previous_data": {}}, {"data": None, "previous_data": "{}"}),
        ({"data": [], "previous_data": [1]}, {"data": "[]", "previous_data": "[1]"}),
        (
            {"data": {"name": 'Zoë "Z" 🚀', "no": False, "none": None}, "id": "ev_1"},
            {"data": '{"name":"Zoë \\"Z\\" 🚀","no":false,"none":null}', "previous_data": None, "id": "ev_1"},
        ),
    ],
    ids=["object", "absent", "null and empty", "lists", "text kept as it is"],
)
def test_objects_become_json_text_and_what_is_absent_null(record: dict[str, Any], expected: dict[str, Any]) -> None:
    JsonTextTransformation(fields=["data", "previous_data"]).transform(record)
    assert record == expected


def test_fields_are_dropped_at_the_top_only() -> None:
    record = {"id": "lead_1", "custom": {"a": 1}, "contacts": [{"custom": {"b": 2}}]}
    DropFieldsTransformation(fields=["custom", "__object_type"]).transform(record)
    assert record == {"id": "lead_1", "contacts": [{"custom": {"b": 2}}]}


@pytest.mark.parametrize(
    ("record", "listed"),
    [
        ({"id": "lead_1"}, []),
        ({"custom.cf_1": "Web"}, [("cf_1", "Web")]),
        ({"custom.cf_1": ["a", "b"], "custom.cf_2": 0, "custom.cf_3": None},
         [("cf_1", ["a", "b"]), ("cf_2", 0), ("cf_3", None)]),
        ({"custom": {"Source": "Web"}, "customs.cf_1": 1}, []),
        ({"custom.lcf_old.1": "x"}, [("lcf_old.1", "x")]),
    ],
    ids=["none", "one", "lists and empty values", "other keys", "an old id"],
)  # fmt: skip
def test_custom_values_are_listed_beside_their_keys(record: dict[str, Any], listed: list[tuple[str, Any]]) -> None:
    given = dict(record)
    CustomFieldsTransformation().transform(record)
    assert [(entry["id"], entry["value"]) for entry in record.pop("custom_fields")] == listed
    assert record == given

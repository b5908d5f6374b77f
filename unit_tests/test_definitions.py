"""Definitions of custom fields: their columns, and how often and how patiently they are read."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests_mock
from airbyte_cdk.models import FailureType
from airbyte_cdk.sources.declarative.models.declarative_component_schema import HttpRequester
from jsonschema import Draft7Validator

from source_close import definitions
from source_close.definitions import (
    COLUMNS_PATIENCE_SECONDS,
    KINDS,
    NAMES_PATIENCE_SECONDS,
    FieldDefinitions,
    column_of,
)
from source_close.errors import CloseApiError
from source_close.offset_pages import Page, UnstableListError
from source_close.source import SourceClose
from source_close.transport import Transport


def error(status: int | None) -> CloseApiError:
    return CloseApiError(
        message=f"answered {status}",
        failure_type=FailureType.system_error,
        status=status,
        text="",
        stream="custom_fields",
    )


def schemas() -> dict[str, Any]:
    contacts, opportunities = ({"type": "array", "items": {"type": "object", "properties": {}}} for _ in range(2))
    leads = {"type": "object", "properties": {"id": {}, "contacts": contacts, "opportunities": opportunities}}
    return {"leads": leads, "activities": {"type": "object", "properties": {}}}


@dataclass
class Lists:
    """Lists of custom fields, and errors in the place of some."""

    fields: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    errors: dict[str, Exception] = field(default_factory=dict)
    asked: list[tuple[str, float | None, int]] = field(default_factory=list)
    before: Callable[[str], object] = lambda kind: None

    def fetch(self, kind: str, patience: float | None, skip: int, limit: int) -> Page:
        self.asked.append((kind, patience, skip))
        self.before(kind)
        if kind in self.errors:
            raise self.errors[kind]
        rows = self.fields.get(kind, [])
        return Page([dict(row) for row in rows[skip : skip + limit]], has_more=len(rows) > skip + limit)


def numbered(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"id": f"cf_{number}", "name": f"Field {number}", "type": "text", **more} for number in range(count)]


@pytest.mark.parametrize(
    ("definition", "schema"),
    [
        (
            {"name": "Budget", "type": "number"},
            {"type": ["number", "null"], "title": "Budget", "description": "Custom field «Budget» (number)."},
        ),
        (
            {"name": "Sizes", "type": "choices", "accepts_multiple_values": True, "choices": ["S", "", "L, XL", 3]},
            {
                "type": ["array", "null"],
                "items": {"type": ["string", "null"]},
                "title": "Sizes",
                "description": "Custom field «Sizes» (choices, several values). Choices: S, , L, XL, 3.",
            },
        ),
        (
            {"name": "Day", "type": "date", "description": "Ask Ana."},
            {
                "type": ["string", "null"],
                "format": "date",
                "title": "Day",
                "description": "Custom field «Day» (date). Ask Ana.",
            },
        ),
        (
            {"name": "N", "type": "text", "converting_to_type": "number", "accepts_multiple_values": True},
            {
                "type": ["array", "null"],
                "items": {"type": ["null", "number", "string"]},
                "title": "N",
                "description": "Custom field «N» (text, being converted to number, several values).",
            },
        ),
        # A text in a column declared as a date-time would be lost in a destination.
        (
            {"name": "T", "type": "datetime", "converting_to_type": "text"},
            {
                "type": ["null", "string"],
                "title": "T",
                "description": "Custom field «T» (datetime, being converted to text).",
            },
        ),
        # A type of tomorrow may have any values.
        (
            {"name": "Where", "type": "map"},
            {
                "type": ["string", "number", "boolean", "object", "array", "null"],
                "additionalProperties": True,
                "title": "Where",
                "description": "Custom field «Where» (map).",
            },
        ),
        # Nobody found out whether Close would send these.
        (
            {"name": None, "type": "text", "choices": None, "description": None},
            {"type": ["string", "null"], "title": "cf_1", "description": "Custom field «cf_1» (text)."},
        ),
        (
            {},
            {
                "type": ["string", "number", "boolean", "object", "array", "null"],
                "additionalProperties": True,
                "title": "cf_1",
                "description": "Custom field «cf_1» (of no known type).",
            },
        ),
    ],
)
def test_column_of(definition: dict[str, Any], schema: dict[str, Any]) -> None:
    column = column_of({"id": "cf_1", **definition})
    assert column == schema
    Draft7Validator.check_schema(column)


def test_columns_stand_where_the_values_do() -> None:
    several = [
        {"object_type": name} for name in ("contact", "custom_activity_type", "custom_activity_type", "new", None)
    ]
    lists = Lists(
        {
            "lead": [{"id": "cf_l", "name": "L"}, {"id": "cf_s", "name": "S", "is_shared": True}],
            "contact": [{"id": "cf_c", "name": "C"}],
            "opportunity": [{"id": "cf_o", "name": "O"}],
            "activity": [{"id": "cf_a", "name": "A"}],
            "shared": [
                {"id": "cf_1", "name": "1", "associations": several},
                {"id": "cf_2", "name": "2", "associations": None},
                {"id": "cf_3", "name": "3"},
            ],
        }
    )
    before = schemas()
    after = FieldDefinitions(lists.fetch).add_columns(before)
    leads = after["leads"]["properties"]
    assert set(leads) == {"id", "contacts", "opportunities", "custom.cf_l", "custom.cf_s"}
    assert set(leads["opportunities"]["items"]["properties"]) == {"custom.cf_o"}
    assert set(leads["contacts"]["items"]["properties"]) == {"custom.cf_c", "custom.cf_1"}
    assert set(after["activities"]["properties"]) == {"custom.cf_a", "custom.cf_1"}
    assert before == schemas()
    # Fields of custom objects have no column; a discover waits long, but not for ever.
    assert sorted(lists.asked) == sorted((kind, COLUMNS_PATIENCE_SECONDS, 0) for kind in KINDS if "object" not in kind)


def test_a_list_is_read_once_for_all() -> None:
    lists = Lists({"lead": numbered(250), "shared": numbered(3, is_shared=True)})
    fields = FieldDefinitions(lists.fetch)
    with ThreadPoolExecutor(20) as pool:
        names = list(pool.map(lambda _: fields.lead_field_names(), range(40)))
    assert all(one is names[0] for one in names)
    assert len(names[0]) == 250
    assert len(fields.of("lead")) == 250
    assert len(fields.of("shared")) == 3
    assert sorted(lists.asked) == [("lead", NAMES_PATIENCE_SECONDS, skip) for skip in (0, 99, 198)] + [
        ("shared", NAMES_PATIENCE_SECONDS, 0)
    ]


def test_a_shared_field_is_one_of_the_kind_shared_only() -> None:
    lists = Lists({"lead": [{"id": "cf_1"}, {"id": "cf_2", "is_shared": True}], "shared": [{"id": "cf_2"}]})
    fields = FieldDefinitions(lists.fetch)
    assert [row["id"] for row in fields.of("lead")] == ["cf_1"]
    assert [row["id"] for row in fields.of("shared")] == ["cf_2"]


@pytest.mark.parametrize("status", [403, 402, 404, 503, None])
def test_names_that_cannot_be_read_are_one_warning(caplog: pytest.LogCaptureFixture, status: int | None) -> None:
    lists = Lists({"lead": numbered(2)}, {"shared": error(status)})
    fields = FieldDefinitions(lists.fetch)
    with caplog.at_level(logging.WARNING), ThreadPoolExecutor(8) as pool:
        names = list(pool.map(lambda _: fields.lead_field_names(), range(40)))
    assert all(one == {"cf_0": "Field 0", "cf_1": "Field 1"} for one in names)
    [record] = caplog.records
    assert f"(shared). answered {status}" in record.getMessage()
    assert len(lists.asked) == 2
    # The stream asks again, with all its patience, and says what is wrong.
    with pytest.raises(CloseApiError):
        fields.of("shared")
    assert lists.asked[-1] == ("shared", None, 0)


def test_columns_that_cannot_be_read_are_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    lists = Lists({"lead": numbered(2)}, {"contact": error(503), "activity": error(403)})
    after = FieldDefinitions(lists.fetch).add_columns(schemas())
    assert {"custom.cf_0", "custom.cf_1"} <= set(after["leads"]["properties"])
    [record] = caplog.records
    assert "(contact, activity)" in record.getMessage()


def test_a_key_that_is_not_accepted_fails_a_discover() -> None:
    lists = Lists({"lead": numbered(2)}, {"contact": error(503), "shared": error(401)})
    with pytest.raises(CloseApiError, match="401"):
        FieldDefinitions(lists.fetch).add_columns(schemas())


def test_a_list_in_another_order_with_every_request(caplog: pytest.LogCaptureFixture) -> None:
    lists = Lists({}, {"lead": UnstableListError()})
    fields = FieldDefinitions(lists.fetch)
    assert fields.lead_field_names() == {}
    assert "order" in caplog.records[0].getMessage()
    with pytest.raises(CloseApiError, match="order"):
        fields.of("lead")


def test_leads_do_not_wait_for_a_stream_that_has_more_patience(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(definitions, "NAMES_PATIENCE_SECONDS", 0.2)
    reading, may_go_on = threading.Event(), threading.Event()

    def wait(kind: str) -> None:
        if kind == "lead":
            reading.set()
            assert may_go_on.wait(10)

    lists = Lists({"lead": numbered(2), "shared": numbered(1, id="cf_s")}, before=wait)
    fields = FieldDefinitions(lists.fetch)
    with ThreadPoolExecutor(1) as pool:
        stream = pool.submit(fields.of, "lead")
        assert reading.wait(10)
        assert fields.lead_field_names() == {"cf_s": "Field 0"}
        may_go_on.set()
        assert len(stream.result()) == 2
    assert "another stream" in caplog.records[0].getMessage()


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.mark.parametrize(
    ("answer", "patience", "gives_up_after"),
    [
        ({"status_code": 503}, 30.0, (30, 80)),
        ({"status_code": 503}, None, (300, 360)),
        ({"status_code": 429, "headers": {"retry-after": "20"}}, 30.0, (0, 30)),
        ({"status_code": 429, "headers": {"retry-after": "20"}}, None, (390, 420)),
        ({"json": {}}, 30.0, (30, 80)),
    ],
)
def test_the_transport_gives_up_when_it_is_told_to(
    answer: dict[str, Any], patience: float | None, gives_up_after: tuple[float, float]
) -> None:
    clock, source = Clock(), SourceClose(config={"api_key": "api_test"})
    definition = source.resolved_manifest["definitions"]["by_ids_requester"] | {"url": "https://close.example/list/"}
    requester = source._constructor.create_component(HttpRequester, definition, source._config, name="list")
    transport = Transport(max_in_flight=2, user_agent="test", now=clock.now, sleep=clock.sleep)
    with requests_mock.Mocker() as mocker:
        mocker.post("https://close.example/list/", **answer)
        with pytest.raises(CloseApiError):
            transport.fetch(transport.endpoint(requester, "custom_fields (for other streams)"), patience=patience)
        assert gives_up_after[0] <= clock.seconds <= gives_up_after[1]
        # The stream itself goes on trying.
        mocker.post("https://close.example/list/", json={"data": []})
        clock.sleep(60)
        assert transport.fetch(transport.endpoint(requester, "custom_fields")) == {"data": []}

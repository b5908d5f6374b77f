"""The manifest runs with the CDK's source class, and has each fact once."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import time_machine
import yaml
from airbyte_cdk.sources.declarative.concurrency_level import ConcurrencyLevel
from airbyte_cdk.sources.declarative.concurrent_declarative_source import ConcurrentDeclarativeSource
from jsonschema import Draft7Validator
from requests_mock import ANY, Mocker

from source_close.source import LOG_FOLLOWERS, load_manifest
from unit_tests.syncs import API, DEFINED, KINDS, ROOT, STREAMS, catalog, cursor_of, leads, run, stock_source, transform

CODE = sorted((ROOT / "source_close").rglob("*.py"))
MANIFEST = load_manifest()


def parts(node: Any) -> Iterator[dict[str, Any]]:
    """Yield ``node`` and every mapping inside it."""
    if isinstance(node, dict):
        yield node
        yield from parts(list(node.values()))
    if isinstance(node, list):
        for inner in node:
            yield from parts(inner)


def test_the_manifest_runs_with_the_source_class_of_the_cdk(api: Mocker) -> None:
    """The test uses only the CDK's own class, the unchanged file, and the fields that a user enters."""
    stamps = {"date_created": "2025-06-15T09:00:00+00:00", "date_updated": "2025-06-15T10:00:00+00:00"}
    api.get(ANY, json={"data": [{"id": "x_1", **stamps}], "has_more": False, "cursor_next": None})
    for kind in KINDS:
        api.get(f"{API}/custom_field/{kind}/", json={"data": [{"id": f"cf_{kind}", "name": kind, **stamps}]})
    lead = {"id": "lead_1", **stamps, "custom.cf_lead": "x"}
    leads(api, {"json": {"data": [lead], "cursor": None}})
    manifest = yaml.safe_load((ROOT / "manifest.yaml").read_text())
    config = {"api_key": "api_1.2", "start_date": "2025-06-15"}
    with time_machine.travel("2025-06-15T12:00:00Z", tick=False):
        plain = ConcurrentDeclarativeSource(catalog(*STREAMS), config, [], source_config=manifest)
        reading = run(plain, *STREAMS)
    assert reading.error == ""
    assert reading.statuses == dict.fromkeys(STREAMS, "COMPLETE")
    expected = {stream: ["x_1"] for stream in STREAMS}
    expected["custom_fields"] = sorted(f"cf_{kind}" for kind in KINDS)
    expected["leads"] = ["lead_1"]
    assert {stream: sorted(reading.ids_of(stream)) for stream in STREAMS} == expected
    [read_lead] = [row for row in reading.records if row["id"] == "lead_1"]
    assert read_lead["custom_fields"] == [{"id": "cf_lead", "name": "lead", "value": "x"}]
    assert set(reading.states("leads")[-1]) == {"date_updated"}


def test_the_manifest_is_resolved_without_a_config_as_airbytes_tools_do() -> None:
    level = {name: MANIFEST["concurrency_level"][name] for name in ("default_concurrency", "max_concurrency")}
    assert ConcurrencyLevel(**level, config={}, parameters={}).get_concurrency_level() == 20


def test_the_manifest_has_no_deprecated_field() -> None:
    assert stock_source().deprecation_warnings() == []


def test_every_stream_has_a_primary_key_and_is_incremental_if_it_has_a_cursor() -> None:
    streams = [stream.as_airbyte_stream() for stream in stock_source().streams({})]
    assert [stream.name for stream in streams] == STREAMS
    for stream in streams:
        cursor = cursor_of(stream.name)
        modes = ["full_refresh", "incremental"] if cursor else ["full_refresh"]
        assert sorted(mode.value for mode in stream.supported_sync_modes) == modes
        assert stream.source_defined_primary_key == [["id"]]
        assert bool(stream.source_defined_cursor) is bool(cursor)
        assert stream.default_cursor_field == ([cursor] if cursor else None)


def test_every_list_has_a_paginator_and_every_requester_has_the_error_table() -> None:
    every_part = list(parts(stock_source().resolved_manifest["streams"]))
    paginators = [part["paginator"] for part in every_part if "paginator" in part]
    assert len(paginators) >= 10
    for paginator in paginators:
        assert paginator["type"] == "DefaultPaginator"
        assert paginator["page_size_option"]["type"] == "RequestOption"
        assert paginator["page_token_option"]["type"] == "RequestOption"
    table = MANIFEST["definitions"]["shared"]["error_handler"]["response_filters"]
    for requester in [part for part in every_part if part.get("type") == "HttpRequester"]:
        rows = requester["error_handler"]["response_filters"]
        assert [row["http_codes"] for row in rows] == [row["http_codes"] for row in table]
        assert requester["authenticator"]["class_name"].endswith(".PacedAuthenticator")


def texts_of(file: Path) -> set[Any]:
    """Return the constants and the names of keyword arguments in a module, without its docstrings."""
    tree = ast.parse(file.read_text())
    documented = [node for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)]
    docstrings = {ast.get_docstring(node, clean=False) for node in documented}
    constants = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    arguments = {node.arg for node in ast.walk(tree) if isinstance(node, ast.keyword)}
    return (constants - docstrings) | arguments


def test_the_code_contains_no_api_parameters_and_no_page_sizes() -> None:
    everything = list(parts(stock_source().resolved_manifest))
    options = [part for part in everything if part.get("type") == "RequestOption"]
    names = {option.get("field_name") for option in options} - {"cursor", None}
    for part in everything:
        names.update(part.get("_params", ()), part.get("request_parameters", ()))
    assert {"_limit", "_skip", "_cursor", "date_created__gte", "date_updated__lt", "id__in"} <= names
    sizes = {part["page_size"] for part in parts(MANIFEST) if "page_size" in part}
    assert sizes == {50, 100, 200, 1000}
    for file in CODE:
        constants = texts_of(file)
        assert not names & constants, file.name
        if file.parent.name == "streams":
            assert not sizes & constants, file.name


def test_exactly_the_streams_that_the_source_names_follow_the_event_log() -> None:
    """Their retrievers have `changes`, through whichever `$ref`. Without it, deletions would stop silently."""
    following = [name for name, stream in DEFINED.items() if "changes" in stream["retriever"]]
    assert following == list(LOG_FOLLOWERS)


def test_the_six_streams_come_first_and_are_short() -> None:
    text = (ROOT / "manifest.yaml").read_text()
    before, _, part = text.partition("\nstreams:\n")
    assert "definitions:" not in before
    streams = part.partition("\n\n# ")[0].split("\n\n")
    names = [re.findall(r"parameters: {name: (\w+)", stream) for stream in streams]
    assert names == [[name] for name in STREAMS]
    assert max(len(stream.splitlines()) for stream in streams) <= 40


def test_the_header_explains_every_value_of_the_config() -> None:
    text = (ROOT / "manifest.yaml").read_text()
    explained = re.findall(r"^#   (\w+)  ", text, flags=re.MULTILINE)
    assert sorted(explained) == sorted(transform()["sync"])
    assert set(re.findall(r"config\['sync'\]\['(\w+)'\]", text)) == set(explained)


def test_the_spec_has_the_expected_fields_defaults_and_limits() -> None:
    spec = MANIFEST["spec"]["connection_specification"]
    properties = spec["properties"]
    Draft7Validator.check_schema(spec)
    assert spec["required"] == ["api_key"]
    assert spec["additionalProperties"] is True
    assert [properties[name]["order"] for name in properties] == list(range(len(properties)))
    assert properties["api_key"]["airbyte_secret"] is True
    assert properties["base_url"]["airbyte_hidden"] is True
    # Airbyte folds away optional fields, except these: they decide what the tables have.
    always_shown = {name for name, field in properties.items() if field.get("always_show")}
    assert always_shown == {"start_date", "capture_changes", "attribution_window_hours"}
    assert properties["start_date"]["pattern_descriptor"]
    for name, field in properties.items():
        assert len(field["description"]) <= 200, name
    window = properties["attribution_window_hours"]
    assert window == {**window, "type": "integer", "minimum": 0, "maximum": 720, "default": 24}
    workers = properties["num_workers"]
    assert workers == {**workers, "type": "integer", "minimum": 1, "maximum": 40, "default": 20}

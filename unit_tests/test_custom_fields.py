"""Custom fields: the stream that reads six lists, the columns in schemas, and the field names in records of leads."""

from typing import Any

import pytest
from airbyte_cdk.sources.declarative.concurrent_declarative_source import ConcurrentDeclarativeSource
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from jsonschema import Draft7Validator
from requests_mock import Mocker

from source_close.source import load_manifest
from unit_tests.syncs import API, KEY, KINDS, Clock, Log, Row, leads, read, requested, warnings

OLD = "2019-05-06T07:08:09+00:00"
NEW = "2025-06-01T00:00:00+00:00"
LEAD = {"id": "lead_1", "date_created": OLD, "date_updated": NEW}


def field(field_id: str, updated: str = OLD, **more: Any) -> Row:
    return {"id": field_id, "name": field_id.upper(), "type": "text", "date_updated": updated, **more}


def serve_lists(api: Mocker, **fields: list[Row]) -> None:
    """Register the lists of custom fields by object type; a list is empty unless its fields are given."""
    for kind in KINDS:
        api.get(f"{API}/custom_field/{kind}/", json={"data": fields.get(kind, [])})


def page(*rows: Row) -> Row:
    """Return a response to a search."""
    return {"json": {"data": rows, "cursor": None}}


def properties(stream: str) -> Row:
    """Return the columns of a stream in the discovered catalog."""
    manifest = load_manifest()
    only_this = {**manifest, "streams": [one for one in manifest["streams"] if one["$parameters"]["name"] == stream]}
    source = ConcurrentDeclarativeSource(None, {"api_key": KEY}, None, source_config=only_this)
    [found] = source.streams({})
    columns: Row = found.as_airbyte_stream().json_schema["properties"]
    return columns


def custom_columns(columns: Row) -> list[str]:
    """Return the names of the columns that are of custom fields."""
    return sorted(name for name in columns if name.startswith("custom."))


def column(api: Mocker, **definition: Any) -> Row:
    serve_lists(api, activity=[{"id": "cf_1", **definition}])
    found: Row = properties("activities")["custom.cf_1"]
    return found


def test_a_first_sync_emits_the_fields_of_all_six_lists_regardless_of_the_start_date(api: Mocker) -> None:
    serve_lists(api, **{kind: [field(f"cf_{kind}_1"), field(f"cf_{kind}_2", NEW)] for kind in KINDS})
    reading = read("custom_fields", start_date="2025-06-10")
    expected = []
    for kind in KINDS:
        expected += [(f"cf_{kind}_1", kind), (f"cf_{kind}_2", kind)]
    assert [(row["id"], row["object_type"]) for row in reading.records] == expected
    paged = [f"/custom_field/{kind}/?_limit=1000&_skip=0" for kind in ("lead", "contact", "opportunity", "activity")]
    assert requested(api) == [*paged, "/custom_field/shared/", "/custom_field/custom_object_type/"]


def test_all_partitions_share_one_state_from_which_the_next_sync_continues(api: Mocker) -> None:
    serve_lists(api, lead=[field("cf_1", NEW)], shared=[field("cf_2", "2025-06-02T00:00:00+00:00")])
    state = read("custom_fields").states()[-1]
    assert state["use_global_cursor"] is True
    assert state["state"] == {"date_updated": "2025-06-02T00:00:00.000000+00:00"}
    assert read("custom_fields", state={"custom_fields": state}).ids == ["cf_2"]


def test_a_shared_field_is_emitted_once_from_the_list_of_shared_fields(api: Mocker) -> None:
    shared = field("cf_1", is_shared=True)
    serve_lists(api, lead=[shared], contact=[shared], shared=[shared])
    assert [(row["id"], row["object_type"]) for row in read("custom_fields").records] == [("cf_1", "shared")]


TEXT: Row = {"type": ["string", "null"]}
NUMBER: Row = {"type": ["number", "null"]}
DATE: Row = {**TEXT, "format": "date"}
DATE_TIME: Row = {**TEXT, "format": "date-time", "airbyte_type": "timestamp_with_timezone"}
LIST: Row = {"type": ["array", "null"], "items": TEXT}
SIZES: Row = {"type": "choices", "accepts_multiple_values": True, "choices": ["S", "", "L, XL", 3]}
SEVERAL_TO_NUMBER: Row = {"type": "text", "converting_to_type": "number", "accepts_multiple_values": True}


@pytest.mark.parametrize(
    ("definition", "schema", "text"),
    [
        ({"type": "number"}, NUMBER, "(number)."),
        (SIZES, LIST, "(choices, several values). Choices: S, , L, XL, 3."),
        ({"type": "date", "description": "Ask Ana."}, DATE, "(date). Ask Ana."),
        ({"type": "datetime"}, DATE_TIME, "(datetime)."),
        (SEVERAL_TO_NUMBER, LIST, "(text, being converted to number, several values)."),
        # A destination would lose a text in a column that is declared as a date-time.
        ({"type": "datetime", "converting_to_type": "text"}, TEXT, "(datetime, being converted to text)."),
        # A destination can store the values of an unknown type as text.
        ({"type": "map"}, TEXT, "(map)."),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_column_is_typed_and_described_as_its_field(api: Mocker, definition: Row, schema: Row, text: str) -> None:
    found = column(api, name="Budget", **definition)
    assert found == {**schema, "title": "Budget", "description": f"Custom field «Budget» {text}"}
    Draft7Validator.check_schema(found)


def test_the_column_of_a_field_with_nulls_has_its_id_as_the_title(api: Mocker) -> None:
    """It is not known whether Close sends such a definition."""
    found = column(api, name=None, choices=None, description=None)
    assert found == {**TEXT, "title": "cf_1", "description": "Custom field «cf_1» (of no known type)."}


def test_columns_are_where_the_values_are(api: Mocker) -> None:
    everywhere = [{"object_type": name} for name in ("contact", "custom_activity_type", "contact", "new", None)]
    serve_lists(
        api,
        lead=[field("cf_l"), field("cf_s", is_shared=True)],
        contact=[field("cf_c")],
        opportunity=[field("cf_o")],
        activity=[field("cf_a")],
        custom_object_type=[field("cf_x")],
        shared=[field("cf_1", associations=everywhere), field("cf_2", associations=None), field("cf_3")],
    )
    of_leads = properties("leads")
    # cf_s has no column: for shared fields only the list of shared fields counts, and cf_s is not in it.
    assert custom_columns(of_leads) == ["custom.cf_l"]
    assert custom_columns(of_leads["contacts"]["items"]["properties"]) == ["custom.cf_1", "custom.cf_c"]
    assert custom_columns(of_leads["opportunities"]["items"]["properties"]) == ["custom.cf_o"]
    assert custom_columns(properties("activities")) == ["custom.cf_1", "custom.cf_a"]
    assert {"id", "date_updated", "contacts"} <= set(of_leads)


@pytest.mark.parametrize("status", [403, 404])
def test_discover_logs_one_warning_when_close_does_not_return_a_list(api: Mocker, caplog: Log, status: int) -> None:
    serve_lists(api, activity=[field("cf_a")])
    api.get(f"{API}/custom_field/shared/", status_code=status, json={"error": "No"})
    assert "custom.cf_a" in properties("activities")
    [warning] = warnings(caplog)
    assert warning.startswith("Custom fields that can't be read (shared) get no columns. Their")
    assert f'GET /api/v1/custom_field/shared/ answered {status}: «{{"error": "No"}}».' in warning


def columns_beside(api: Mocker, odd: Row) -> list[str]:
    """Return the columns of activities if ``cf_a`` has an odd part and ``cf_b`` has none."""
    shared = {"associations": [{"object_type": "activity"}]}
    serve_lists(api, shared=[{**field("cf_a"), **shared, **odd}, {**field("cf_b"), **shared}])
    return custom_columns(properties("activities"))


@pytest.mark.parametrize(
    "odd",
    [{"choices": 7}, {"converting_to_type": ["text"]}, {"associations": ["lead"]}, {"associations": 7}],
    ids=str,
)
def test_a_definition_that_can_not_be_read_loses_only_its_own_column(api: Mocker, caplog: Log, odd: Row) -> None:
    assert columns_beside(api, odd) == ["custom.cf_b"]
    assert warnings(caplog) == ["Custom field cf_a gets no column: its form is unknown. Its values are read."]


@pytest.mark.parametrize("odd", [{"type": {"a": 1}}, {"type": None}, {"name": ["x"]}, {"description": 7}], ids=str)
def test_a_definition_with_an_odd_type_or_text_has_its_column(api: Mocker, caplog: Log, odd: Row) -> None:
    assert columns_beside(api, odd) == ["custom.cf_a", "custom.cf_b"]
    assert warnings(caplog) == []


@pytest.mark.parametrize(
    ("response", "problem", "seconds"),
    [
        ({"status_code": 302, "headers": {"Location": "https://x.example/"}}, "redirect to https://x.example/", 0),
        ({"status_code": 418}, "answered 418", 0),
        ({"status_code": 401}, "answered 401 without a text. Close does not accept the API key", 0),
        ({"json": {"data": []}, "headers": {"Date": "Sun, 15 Jun 2008 12:00:00 GMT"}}, "clock is", 0),
        ({"status_code": 503, "text": "Down"}, "answered 503: «Down». Close has a problem", 20),
    ],
    ids=["redirect", "refusal", "key", "clock", "outage"],
)
def test_discover_fails_if_close_has_a_problem_or_refuses_the_key_or_something_between_responds(
    api: Mocker, clock: Clock, response: Row, problem: str, seconds: int
) -> None:
    """A catalog without the columns would remove them from the user's tables."""
    serve_lists(api, lead=[field("cf_a")])
    api.get(f"{API}/custom_field/shared/", **response)
    with pytest.raises(AirbyteTracedException, match=problem):
        properties("leads")
    assert seconds <= clock.now - 1000 < seconds + 40


def test_the_stream_is_retried_after_the_names_of_lead_fields_were_given_up(api: Mocker, clock: Clock) -> None:
    serve_lists(api, lead=[field("cf_1")])
    started = clock.now

    def respond(_: Any, context: Any) -> Row:
        if clock.now - started < 60:
            context.status_code = 503
        return {"data": [field("cf_1")]}

    api.get(f"{API}/custom_field/lead/", json=respond)
    leads(api, page({**LEAD, "custom.cf_1": "Web"}))
    reading = read("leads", "custom_fields", start_date="2025-06-01", clock=clock)
    assert reading.statuses == {"leads": "COMPLETE", "custom_fields": "COMPLETE"}
    [lead] = [row for row in reading.records if row["id"] == "lead_1"]
    assert lead["custom_fields"] == [{"id": "cf_1", "name": None, "value": "Web"}]
    assert reading.ids_of("custom_fields") == ["cf_1"]


def test_leads_fail_if_the_key_is_refused_when_their_names_are_requested(api: Mocker) -> None:
    leads(api, page({**LEAD, "custom.cf_1": "Web"}))
    api.get(f"{API}/custom_field/lead/", status_code=401)
    reading = read("leads", start_date="2025-06-01")
    assert reading.statuses == {"leads": "INCOMPLETE"}
    [failure] = reading.failures
    assert failure.stream == "leads"
    assert failure.kind == "config_error"
    assert failure.message.startswith("Stream leads: GET /api/v1/custom_field/lead/ answered 401")


def test_leads_list_their_custom_values_with_the_names_of_the_fields(api: Mocker) -> None:
    serve_lists(api, lead=[field("cf_1"), field("cf_4")], shared=[field("cf_2")], contact=[field("cf_3")])
    row = {**LEAD, "custom.cf_1": ["a", "b"], "custom.cf_2": 0, "custom.cf_3": False, "custom.lcf_old.1": "x"}
    leads(api, page({**row, "custom.cf_4": None}, {**LEAD, "id": "lead_2", "custom.cf_1": "Web"}))
    [record, other] = read("leads", start_date="2025-06-01").records
    assert other["custom_fields"] == [{"id": "cf_1", "name": "CF_1", "value": "Web"}]
    assert record == {
        **row,
        "custom_fields": [
            {"id": "cf_1", "name": "CF_1", "value": ["a", "b"]},
            {"id": "cf_2", "name": "CF_2", "value": 0},
            {"id": "cf_3", "name": None, "value": False},  # the fields of contacts are not requested
            {"id": "lcf_old.1", "name": None, "value": "x"},
        ],
    }
    # Once for all leads.
    assert sorted(requested(api, "/custom")) == ["/custom_field/lead/?_limit=1000&_skip=0", "/custom_field/shared/"]


def test_names_are_not_requested_if_no_lead_has_custom_values(api: Mocker) -> None:
    leads(api, page({**LEAD, "custom": {}, "customs.cf_1": 1}))
    assert read("leads", start_date="2025-06-01").records == [{**LEAD, "customs.cf_1": 1, "custom_fields": []}]
    assert requested(api, "/custom") == []


def test_names_that_cannot_be_read_log_one_warning_and_do_not_fail_the_stream(api: Mocker, caplog: Log) -> None:
    serve_lists(api, lead=[field("cf_1")])
    api.get(f"{API}/custom_field/shared/", status_code=402, json={"error": "Upgrade"})
    row = {**LEAD, "custom.cf_1": "Web", "custom.cf_2": 1}
    leads(api, page(row, {**row, "id": "lead_2"}))
    reading = read("leads", start_date="2025-06-01")
    assert reading.statuses == {"leads": "COMPLETE"}
    assert reading.ids == ["lead_1", "lead_2"]
    for record in reading.records:
        assert [value["name"] for value in record["custom_fields"]] == ["CF_1", None]
    [warning] = warnings(caplog)
    assert "(shared)" in warning
    assert 'answered 402: «{"error": "Upgrade"}»' in warning


def test_a_lead_without_a_date_of_creation_has_the_list_too(api: Mocker) -> None:
    serve_lists(api)
    leads(api, page({"id": "lead_1", "date_created": None, "date_updated": NEW, "custom": {"Old": 1}}))
    [record] = read("leads", start_date="2025-06-01").records
    assert record["custom_fields"] == [{"id": None, "name": "Old", "value": 1}]


def test_a_value_with_a_name_belongs_to_the_field_of_its_own_kind(api: Mocker) -> None:
    association = {"object_type": "contact", "editable_with_roles": ["lead qualifier"]}
    of_contacts = field("cf_2", name="Source", associations=[association])
    odd = field("cf_4", name="Source", associations="lead")
    roles = {"contact": [field("cf_3", name="Role")], "opportunity": [field("cf_5", name="Role")]}
    serve_lists(api, lead=[field("cf_1", name="Source")], shared=[of_contacts, odd], **roles)
    contact = {"id": "cont_1", "custom": {"Source": "Fair", "Role": "Boss"}}
    opportunity = {"id": "oppo_1", "custom": {"Role": "Renewal"}}
    of_lead = {"Source": "Web", "Empty": None}
    leads(api, page({**LEAD, "custom": of_lead, "contacts": [contact], "opportunities": [opportunity]}))
    [record] = read("leads", start_date="2025-06-01").records
    assert record["custom_fields"] == [{"id": "cf_1", "name": "Source", "value": "Web"}]
    assert record["contacts"] == [{"id": "cont_1", "custom.cf_2": "Fair", "custom.cf_3": "Boss"}]
    assert record["opportunities"] == [{"id": "oppo_1", "custom.cf_5": "Renewal"}]


def test_unknown_and_ambiguous_names_are_reported_once_per_kind_and_listed_for_leads(api: Mocker, caplog: Log) -> None:
    serve_lists(api, lead=[field("cf_1", name="Two"), field("cf_2", name="Two")])
    contact = {"id": "cont_1", "custom": {"Old": 2}}
    lead = {**LEAD, "custom": {"Old": 1, "Two": 3}, "contacts": [contact]}
    leads(api, page(lead, {**lead, "id": "lead_2"}))
    [record, _] = read("leads", start_date="2025-06-01").records
    assert record["custom_fields"] == [{"id": None, "name": "Old", "value": 1}, {"id": None, "name": "Two", "value": 3}]
    assert record["contacts"] == [contact]
    of_leads, of_contacts = warnings(caplog)
    assert of_leads.startswith("Custom values of the kind lead are not in columns")
    assert "of no custom field, or of several: Old, Two." in of_leads
    assert of_contacts.startswith("Custom values of the kind contact are not in columns")


def test_values_by_name_are_not_used_beside_those_by_id(api: Mocker, caplog: Log) -> None:
    leads(api, page({**LEAD, "custom.cf_1": "Web", "custom": {"Old": 1}}))
    [record] = read("leads", start_date="2025-06-01").records
    assert record["custom_fields"] == [{"id": "cf_1", "name": None, "value": "Web"}]
    assert [line for line in warnings(caplog) if "are not in columns" in line] == []


@pytest.mark.parametrize("key", ["cf_1", "lcf_old"])
def test_values_by_the_ids_of_fields_need_no_definitions(api: Mocker, key: str) -> None:
    api.get(f"{API}/custom_field/lead/", status_code=403, json={"error": "Forbidden"})
    leads(api, page({**LEAD, "custom": {key: "Web"}, "contacts": [{"id": "cont_1", "custom": {key: 2}}]}))
    [record] = read("leads", start_date="2025-06-01").records
    assert record == {
        **LEAD,
        f"custom.{key}": "Web",
        "contacts": [{"id": "cont_1", f"custom.{key}": 2}],
        "custom_fields": [{"id": key, "name": None, "value": "Web"}],
    }

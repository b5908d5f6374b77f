"""Custom fields: their columns in the discovered schemas, their values in the records, and failures of their lists."""

from collections import Counter
from typing import Any

from integration_tests.close_api import LocalCloseApi, Volumes
from integration_tests.close_api.faults import Fault
from integration_tests.harness.fixtures import Fork, MakeApi
from integration_tests.harness.moments import DAY, HOUR, now, text
from integration_tests.harness.running import Result
from integration_tests.harness.schemas import schema_errors
from integration_tests.harness.truth import assert_custom_values_match, clock_at, custom_values

TEXT = {"type": ["string", "null"]}
NUMBER = {"type": ["number", "null"]}
DATE = {**TEXT, "format": "date"}
DATE_TIME = {**TEXT, "format": "date-time", "airbyte_type": "timestamp_with_timezone"}
# A value of each type as the API sends it, and the schema of its column.
TYPES: dict[str, tuple[Any, dict[str, Any]]] = {
    "text": ("blue 🟦", TEXT),
    "textarea": ("one\ntwo", TEXT),
    "hidden": ("x1", TEXT),
    "number": (12.5, NUMBER),
    "date": ("2024-02-29", DATE),
    "datetime": ("2024-02-29T10:11:12.130000+00:00", DATE_TIME),
    "choices": ("Référé", TEXT),
    "user": ("user_1", TEXT),
    "contact": ("cont_1", TEXT),
    "custom_object": ("coi_1", TEXT),
}
KINDS = ("lead", "contact", "opportunity", "activity")
PLACES = ("leads", "leads.contacts", "leads.opportunities", "activities")

Schemas = dict[str, dict[str, Any]]


def add_field(api: LocalCloseApi, kind: str, field_type: str, *, several: bool = False, **more: Any) -> dict[str, Any]:
    """Define a custom field."""
    fields = {"type": field_type, "accepts_multiple_values": several, "description": None, "choices": None, **more}
    return api.store.add(f"custom_field.{kind}", **fields)


def key(field: dict[str, Any]) -> str:
    return f"custom.{field['id']}"


def schemas_of(result: Result) -> Schemas:
    """Return the schema of each stream in the output of discover."""
    [catalog] = result.of("CATALOG")
    return {stream["name"]: stream["json_schema"] for stream in catalog["streams"]}


def columns(schemas: Schemas, place: str) -> dict[str, Any]:
    """Return the columns `custom.…` of a place such as `leads.contacts`, by name."""
    stream, *path = place.split(".")
    properties = schemas[stream]["properties"]
    for column in path:
        properties = properties[column]["items"]["properties"]
    return {name: column for name, column in properties.items() if name.startswith("custom.")}


def schema_mismatches(result: Result, schemas: Schemas) -> list[str]:
    """Return the places where records do not match the discovered schemas."""
    return [
        f"{stream}{error}"
        for stream, schema in schemas.items()
        for error in schema_errors(schema, result.records(stream))
    ]


def printed(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record as the CDK prints it: without the top-level fields that are null."""
    return {name: value for name, value in record.items() if value is not None}


def names_on_leads(result: Result) -> dict[str, str | None]:
    return {entry["id"]: entry["name"] for lead in result.records("leads") for entry in lead["custom_fields"]}


def definition_requests(api: LocalCloseApi) -> list[str]:
    return [entry.path for entry in api.requests if entry.path.startswith("/custom_field")]


def add_lead_family(api: LocalCloseApi, by_kind: dict[str, dict[str, Any]]) -> str:
    """Add a lead with a contact, an opportunity and a custom activity that have these values; return the lead's id."""
    lead_id = str(api.store.add("lead", **by_kind.get("lead", {}))["id"])
    api.store.add("contact", lead_id=lead_id, **by_kind.get("contact", {}))
    api.store.add("opportunity", lead_id=lead_id, **by_kind.get("opportunity", {}))
    api.store.add("CustomActivity", lead_id=lead_id, **by_kind.get("activity", {}))
    return lead_id


def test_fields_of_every_type_have_a_column_and_their_values(make_api: MakeApi, fork: Fork) -> None:
    api = make_api(Volumes(users=3))
    expected: dict[str, dict[str, Any]] = {}
    by_kind: dict[str, dict[str, Any]] = {}
    for kind, place in zip(KINDS, PLACES, strict=True):
        expected[place], by_kind[kind] = {}, {}
        for field_type, (value, schema) in TYPES.items():
            choices = ["Web", value] if field_type == "choices" else None
            for several in (False, True):
                name = f"{kind} {field_type} {several} 💡"
                field = add_field(
                    api, kind, field_type, several=several, name=name, description="Ask «Ana»", choices=choices
                )
                kinds = f"{field_type}, several values" if several else field_type
                described = f"Custom field «{name}» ({kinds}). Ask «Ana»"
                expected[place][key(field)] = {
                    **({"type": ["array", "null"], "items": schema} if several else schema),
                    "title": name,
                    "description": described + (f" Choices: Web, {value}." if choices else ""),
                }
                by_kind[kind][key(field)] = [value, value] if several else value
    for _ in range(3):
        add_lead_family(api, by_kind)
    connector = fork(api, start_date=text(now() - DAY))
    schemas = schemas_of(connector.discover())
    assert {place: columns(schemas, place) for place in PLACES} == expected
    api.clear_requests()
    result = connector.sync(["leads", "activities", "custom_fields"])
    assert schema_mismatches(result, schemas) == []
    assert assert_custom_values_match(api, result, "leads") == 3 * 3 * 20
    assert assert_custom_values_match(api, result, "activities") == 3 * 20
    for lead in result.records("leads"):
        assert {f"custom.{entry['id']}": entry["name"] for entry in lead["custom_fields"]} == {
            name: column["title"] for name, column in expected["leads"].items()
        }
    # Each list is read once for the stream, and those of leads once more for the names.
    assert Counter(definition_requests(api)) == {
        **{f"/custom_field/{kind}/": 1 for kind in (*KINDS, "custom_object_type", "shared")},
        **{f"/custom_field/{kind}/": 2 for kind in ("lead", "shared")},
    }


def test_discover_requests_the_lists_of_a_stream_in_parallel(make_api: MakeApi, fork: Fork) -> None:
    api = make_api(Volumes(users=2))
    api.settings.latency = 0.5
    fork(api).discover()
    assert max(entry.in_flight for entry in api.requests) >= 4


def test_values_that_do_not_match_the_type_of_their_field_are_kept(make_api: MakeApi, fork: Fork) -> None:
    api = make_api(Volumes(users=2))
    odd: list[Any] = ["n/a", 5, -1.5, True, [], ["a", None], [1], {"a": [1]}, "2024-13-45", ""]
    by_kind: dict[str, list[dict[str, Any]]] = {kind: [{} for _ in odd] for kind in KINDS}
    for kind in KINDS:
        for field_type in ("number", "date", "datetime", "choices"):
            for several in (False, True):
                field = add_field(api, kind, field_type, several=several, choices=["Web"])
                for position, value in enumerate(odd):
                    by_kind[kind][position][key(field)] = value
    unknown = {f"custom.{name}": 1 for name in ("cf_unknown", "lcf_old", "x y.z")}
    for position in range(len(odd)):
        add_lead_family(api, {kind: by_kind[kind][position] | unknown for kind in KINDS})
    connector = fork(api, start_date=text(now() - DAY))
    schemas = schemas_of(connector.discover())
    result = connector.sync(["leads", "activities"])
    assert result.errors == []
    assert result.logs("WARN") == []
    assert assert_custom_values_match(api, result, "leads") == len(odd) * 3 * (8 + 3)
    assert assert_custom_values_match(api, result, "activities") == len(odd) * (8 + 3)
    # Only these values do not match the schema; the list custom_fields accepts any value.
    wrong = schema_mismatches(result, schemas)
    assert wrong
    assert all("['custom." in place or ".custom" in place for place in wrong)
    assert not any("custom_fields" in place for place in wrong)
    assert [names_on_leads(result)[name] for name in ("cf_unknown", "lcf_old", "x y.z")] == [None, None, None]


def test_changes_of_fields_between_syncs_lose_no_value(make_api: MakeApi, fork: Fork) -> None:
    """The second discover shows which fields were added, renamed, converted and deleted."""
    api = make_api(Volumes(users=2))
    with clock_at(api, now() - HOUR):
        renamed, retyped, deleted = (add_field(api, "lead", "text", name=name) for name in ("Old", "Typed", "Gone"))
        old_values = {key(renamed): "r", key(retyped): "12", key(deleted): "d"}
        touched, untouched = (add_lead_family(api, {"lead": old_values}) for _ in range(2))
    connector = fork(api, start_date=text(now() - DAY))
    streams = ["leads", "custom_fields"]
    before = schemas_of(connector.discover())
    first = connector.sync(streams)
    assert schema_mismatches(first, before) == []
    assert names_on_leads(first) == {renamed["id"]: "Old", retyped["id"]: "Typed", deleted["id"]: "Gone"}
    assert {lead["id"] for lead in first.records("leads")} == {touched, untouched}

    api.store.edit(renamed["id"], name="New")
    api.store.edit(retyped["id"], converting_to_type="number")
    converting = schemas_of(connector.discover())
    assert columns(converting, "leads")[key(retyped)]["type"] == ["string", "null"]
    assert "converted to number" in columns(converting, "leads")[key(retyped)]["description"]
    api.store.edit(touched, **{key(retyped): 12})
    during = connector.sync(streams, first.states)
    # A column has one type: a destination writes the number as text until the conversion is finished.
    assert [error for error in schema_mismatches(during, converting) if key(retyped) not in error] == []
    by_id = {lead["id"]: lead for lead in during.records("leads")}
    assert by_id[touched][key(retyped)] == 12
    assert by_id[touched][key(deleted)] == "d"

    api.store.edit(retyped["id"], type="number", converting_to_type=None)
    api.store.delete(deleted["id"])
    added = add_field(api, "lead", "date", name="Added")
    api.store.edit(touched, **{key(added): "2024-01-01"})
    after = schemas_of(connector.discover())
    assert set(columns(after, "leads")) == {key(renamed), key(retyped), key(added)}
    assert columns(after, "leads")[key(retyped)]["type"] == ["number", "null"]
    assert columns(after, "leads")[key(renamed)]["title"] == "New"
    last = connector.sync(streams, during.states)
    assert assert_custom_values_match(api, last, "leads")
    assert names_on_leads(last) == {renamed["id"]: "New", retyped["id"]: "Typed", added["id"]: "Added"}
    [lead] = [lead for lead in last.records("leads") if lead["id"] == touched]
    assert custom_values(lead) == {key(renamed): "r", key(retyped): 12, key(added): "2024-01-01"}
    # The stream emits every changed definition that still exists. It does not report a deleted one.
    assert {row["id"] for row in last.records("custom_fields")} >= {retyped["id"], added["id"]}
    assert {row["id"] for row in during.records("custom_fields")} >= {renamed["id"], retyped["id"]}


def test_other_streams_do_not_wait_for_the_names_of_lead_fields(make_api: MakeApi, fork: Fork) -> None:
    api = make_api(Volumes(users=2, activities=300, leads=20, custom_fields=4))
    api.faults.add(Fault("slow", "/custom_field/", seconds=1))
    result = fork(api).sync(["leads", "activities"])
    emitted = [message["record"]["stream"] for message in result.messages if message["type"] == "RECORD"]
    # Leads without custom values need no names.
    with_names = [lead["id"] for lead in result.records("leads") if lead["custom_fields"]]
    last_activity = len(emitted) - 1 - emitted[::-1].index("activities")
    assert emitted[last_activity + 1 :].count("leads") >= len(with_names) > 0


def test_the_stream_custom_fields_describes_every_column(make_api: MakeApi, fork: Fork) -> None:
    """The fields are of all six kinds, and some have odd names."""
    api = make_api(Volumes(users=2, custom_fields=120))
    odd = ["", "  ", "«»\"'\\\n\t", "🦄" * 300, "x" * 20_000, "Same", "Same", "custom.cf_1", "null"]
    named = {
        field["id"]: field
        for field in (add_field(api, "lead", "choices", name=name, choices=[name, name]) for name in odd)
    }
    api.store.add("lead", **dict.fromkeys((f"custom.{field_id}" for field_id in named), "v"))
    connector = fork(api)
    schemas = schemas_of(connector.discover())
    result = connector.sync(["leads", "custom_fields"])
    assert schema_mismatches(result, schemas) == []
    rows = {row["id"]: row for row in result.records("custom_fields")}
    assert Counter(row["object_type"] for row in rows.values()) == {
        **dict.fromkeys(("contact", "opportunity", "activity", "custom_object_type", "shared"), 120),
        "lead": 120 + len(odd),
    }
    for field_id, row in rows.items():
        assert row == printed({**api.store.get(field_id), "object_type": row["object_type"]})
    for row in rows.values():
        assert bool(row.get("custom_activity_type_id")) == (row["object_type"] == "activity")
        assert bool(row.get("custom_object_type_id")) == (row["object_type"] == "custom_object_type")
        assert bool(row.get("associations")) == (row["object_type"] == "shared")
        assert ("choices" in row) == (row["type"] == "choices")
        assert isinstance(row["editable_with_roles"], list)
    targets = {link["object_type"] for row in rows.values() for link in row.get("associations", [])}
    assert targets == {"lead", "contact", "opportunity", "custom_activity_type", "custom_object_type"}
    for field_id, field in named.items():
        assert columns(schemas, "leads")[f"custom.{field_id}"]["title"] == (field["name"] or field_id)
        assert names_on_leads(result)[field_id] == field["name"]
    # Every column of every place has a record.
    for place in PLACES:
        assert {name.removeprefix("custom.") for name in columns(schemas, place)} <= set(rows)

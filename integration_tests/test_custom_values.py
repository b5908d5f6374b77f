"""Custom values of leads arrive in whichever form Close's search returns them, since none is documented."""

from typing import Any

import pytest

from integration_tests.close_api import LocalCloseApi, Volumes
from integration_tests.close_api.settings import Settings
from integration_tests.harness.fixtures import Fork, MakeApi
from integration_tests.harness.running import Result
from integration_tests.harness.truth import assert_custom_values_match, custom_values, ids, requests_of

VOLUMES = Volumes(users=2, leads=120, custom_fields=12)
BY_IDS = "/lead/"


def assert_values_arrive(api: LocalCloseApi, result: Result, lead_ids: set[str]) -> None:
    """Compare the values of each lead one by one, and the list `custom_fields`, which also has their names."""
    assert set(result.ids("leads")) >= lead_ids
    assert assert_custom_values_match(api, result, "leads")
    for lead in result.records("leads"):
        assert all(entry["name"] for entry in lead["custom_fields"])


@pytest.mark.parametrize("form", ["by_id", "by_name", "by_id_in_custom", "none"])
def test_custom_values_arrive_in_a_full_and_in_an_incremental_read(make_api: MakeApi, fork: Fork, form: Any) -> None:
    api = make_api(VOLUMES, settings=Settings(search_custom_values=form))
    lead_ids = ids(api, "leads")
    with_values = [lead_id for lead_id in lead_ids if len(custom_values(api.store.get(lead_id))) > 1]
    assert with_values
    connector = fork(api)
    first = connector.sync(["leads"])
    assert_values_arrive(api, first, lead_ids)
    if form != "none":  # three pages by ids show that the searches return all values
        assert len(requests_of(api, BY_IDS)) == 3
    [edited, untouched] = sorted(with_values)[:2]
    name = next(iter(custom_values(api.store.get(edited))))
    api.store.edit(edited, **{name: None}, description="edited")
    second = connector.sync(["leads"], first.states)
    assert_values_arrive(api, second, {edited})
    assert untouched not in second.ids("leads")


def test_an_account_without_custom_fields_costs_three_requests_and_the_definitions(
    make_api: MakeApi, fork: Fork
) -> None:
    api = make_api(Volumes(users=2, leads=210))
    fork(api).sync(["leads"])
    assert len(requests_of(api, BY_IDS)) == 3
    assert len(requests_of(api, "/custom_field/")) == 4


def test_a_column_that_a_search_lacks_is_read_by_ids(make_api: MakeApi, fork: Fork) -> None:
    api = make_api(VOLUMES, settings=Settings(search_lacks={"description"}))
    for lead_id in ids(api, "leads"):
        api.store.edit(lead_id, description=f"This is {lead_id}.")
    result = fork(api).sync(["leads"])
    assert all(row["description"] == f"This is {row['id']}." for row in result.records("leads"))
    [line] = [line for line in result.logs("INFO") if "search does not return everything of a lead" in line]
    assert "It lacks description. Leads" in line


def test_a_name_that_no_field_or_several_fields_have_is_said_aloud(make_api: MakeApi, fork: Fork) -> None:
    api = make_api(Volumes(users=2), settings=Settings(search_custom_values="by_name"))
    fields = [api.store.add("custom_field.lead", type="text", name="Same") for _ in range(2)]
    lead = api.store.add("lead", name="Twins", **{f"custom.{fields[0]['id']}": "first"})
    result = fork(api).sync(["leads"])
    [emitted] = result.records("leads")
    assert emitted["id"] == lead["id"]
    assert emitted["custom_fields"] == [{"id": None, "name": "Same", "value": "first"}]
    [warning] = [line for line in result.warnings if "Custom values" in line]
    assert "of several: Same." in warning

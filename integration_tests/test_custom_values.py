"""Custom values of leads: what it costs to find out their form, and names of fields that are not clear."""

from integration_tests.close_api import Volumes
from integration_tests.close_api.settings import Settings
from integration_tests.harness.fixtures import Fork, MakeApi
from integration_tests.harness.truth import requests_of


def test_an_account_without_custom_fields_costs_three_requests_and_the_definitions(
    make_api: MakeApi, fork: Fork
) -> None:
    api = make_api(Volumes(users=2, leads=210))
    fork(api).sync(["leads"])
    assert len(requests_of(api, "/lead/")) == 3
    assert len(requests_of(api, "/custom_field/")) == 4


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

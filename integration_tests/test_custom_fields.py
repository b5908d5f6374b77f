"""What custom fields cost: requests, and time for which others wait; and the forms of custom values."""

from typing import Any, Literal

import pytest

from integration_tests.close_api import Volumes
from integration_tests.close_api.faults import Fault
from integration_tests.harness.fixtures import Fork, MakeApi


def test_discover_requests_the_lists_of_a_stream_in_parallel(make_api: MakeApi, fork: Fork) -> None:
    api = make_api(Volumes(users=2))
    api.settings.latency = 0.5
    fork(api).discover()
    assert max(entry.in_flight for entry in api.requests) >= 4


def test_other_streams_do_not_wait_for_the_names_of_lead_fields(make_api: MakeApi, fork: Fork) -> None:
    api = make_api(Volumes(users=2, activities=300, leads=20, custom_fields=4))
    api.faults.add(Fault("slow", "/custom_field/", seconds=1))
    result = fork(api).sync(["leads", "activities"])
    emitted = [message["record"]["stream"] for message in result.messages if message["type"] == "RECORD"]
    # Leads without custom values need no names.
    with_names = [lead["id"] for lead in result.records("leads") if lead["custom_fields"]]
    last_activity = len(emitted) - 1 - emitted[::-1].index("activities")
    assert emitted[last_activity + 1 :].count("leads") >= len(with_names) > 0


def values_of(lead: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the custom values of a lead, its contacts and its opportunities."""
    parts = [lead, *lead["contacts"], *lead["opportunities"]]
    return [{key: part[key] for key in part if key.startswith("custom.") and part[key] is not None} for part in parts]


@pytest.mark.parametrize("form", ["both", "by_id", "by_name", "by_id_in_custom"])
def test_custom_values_have_the_ids_of_their_fields_in_whichever_form_close_returns_them(
    make_api: MakeApi, fork: Fork, form: Literal["both", "by_id", "by_name", "by_id_in_custom"]
) -> None:
    api = make_api(Volumes(users=2, leads=20, custom_fields=4))
    api.settings.lead_custom_values = form
    found = {lead["id"]: values_of(lead) for lead in fork(api).sync(["leads"]).records("leads")}
    assert found == {lead_id: values_of(api.store.get(lead_id)) for lead_id in found}
    assert sum(len(values) > 0 for parts in found.values() for values in parts[1:]) > 0
    assert len(found) == 20

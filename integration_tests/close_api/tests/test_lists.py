"""Lists of the local API that are paged by offset."""

from datetime import timedelta
from typing import Any

import pytest

from integration_tests.close_api import LocalCloseApi
from integration_tests.harness.warehouse import Clock

from .conftest import NOON, Client


def all_ids(client: Client, limit: int) -> list[str]:
    """Return the ids of all activities in pages of so many rows."""
    ids: list[str] = []
    while True:
        page = client.json("/activity/", _limit=limit, _skip=len(ids))
        ids += [row["id"] for row in page["data"]]
        if not page["has_more"]:
            return ids


def test_pages_contain_every_row_once(api: LocalCloseApi, client: Client) -> None:
    made = api.store.load_many("Note", 25, NOON - timedelta(days=9), NOON)
    ids = all_ids(client, 10)
    assert sorted(ids) == sorted(made)
    assert ids == all_ids(client, 7)
    # A full last page is the last page.
    assert client.json("/activity/", _limit=25)["has_more"] is False
    assert client.json("/activity/", _limit=24)["has_more"] is True


@pytest.mark.parametrize(
    ("path", "parameter", "value", "wording", "body"),
    [
        ("/activity/", "_limit", "101", "old", "max_limit = 100"),
        ("/activity/", "_limit", "101", "new", "Input should be less than or equal to 100"),
        ("/activity/note/", "_skip", "250001", "old", "(max_skip = 250000). Please refine your search query."),
        ("/activity/note/", "_skip", "250001", "new", "Input should be less than or equal to 250000"),
        ("/lead/", "_skip", "35001", "old", "max_skip = 35000"),
        ("/task/", "_skip", "-1", "old", '_skip must be a non-negative integer (got \\"-1\\" instead).'),
        ("/task/", "date_updated__gte", "soon", "old", "date_updated__gte must be a date or date-time"),
    ],
)
def test_an_invalid_parameter_gets_400(
    api: LocalCloseApi, client: Client, path: str, parameter: str, value: str, wording: Any, body: str
) -> None:
    api.settings.error_wording = wording
    response = client.get(path, **{parameter: value})
    assert response.status_code == 400
    assert body in response.text
    assert ("field-errors" if wording == "new" else "error") in response.json()


def test_the_fields_parameter_selects_the_fields_of_a_row(api: LocalCloseApi, client: Client) -> None:
    api.store.add("Note")
    lead = api.store.add("lead", **{"custom.cf_1": 5})
    assert set(client.json("/activity/", _fields="id,note,nothing")["data"][0]) == {"id", "note"}
    assert set(client.json(f"/lead/{lead['id']}/", _fields="id,custom.cf_1")) == {"id", "custom.cf_1"}
    assert set(client.json(f"/lead/{lead['id']}/", _fields="custom")) == {"custom", "custom.cf_1"}
    assert "primary_email" not in lead
    assert "primary_email" in client.json(f"/lead/{lead['id']}/", _fields="primary_email")


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({"date_created__gte": "2026-01-01T00:00:00.001Z"}, {1, 2}),
        ({"date_created__gt": "2026-01-01T00:00:00.001+00:00"}, {2}),
        ({"date_created__lt": "2026-01-01T01:00:00.002+01:00"}, {0, 1}),
        ({"date_created__lt": "2026-01-01T00:00:00.001"}, {0}),
        ({"date_created__gte": "2026-01-01", "date_created__lt": "2026-01-02"}, {0, 1, 2}),
    ],
)
@pytest.mark.parametrize("path", ["/activity/", "/activity/note/"])
def test_activities_can_be_filtered_by_date_created(
    api: LocalCloseApi, client: Client, path: str, bounds: dict[str, str], expected: set[int]
) -> None:
    first = NOON.replace(day=1, hour=0)
    ids = [api.store.load_many("Note", 1, first + timedelta(milliseconds=number))[0] for number in range(3)]
    assert set(client.ids(path, **bounds)) == {ids[number] for number in expected}


def test_the_order_of_rows_with_the_same_timestamp_is_stable_and_arbitrary(api: LocalCloseApi, client: Client) -> None:
    made = api.store.load_many("Note", 40, NOON)
    ids = all_ids(client, 9)
    assert ids == all_ids(client, 100)
    assert sorted(ids) == sorted(made)
    assert ids not in (sorted(made), sorted(made, reverse=True), made, made[::-1])


def test_lead_lists_show_changes_after_the_search_lag(api: LocalCloseApi, client: Client, clock: Clock) -> None:
    api.settings.search_lag = 30
    lead = api.store.add("lead")["id"]
    assert client.ids("/lead/") == []
    assert client.json(f"/lead/{lead}/")["id"] == lead
    clock.advance(seconds=31)
    assert client.ids("/lead/") == [lead]
    assert client.json("/lead/")["total_results"] == 1
    api.store.delete(lead)
    assert client.ids("/lead/") == [lead]
    clock.advance(seconds=31)
    assert client.ids("/lead/") == []

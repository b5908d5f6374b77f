"""`POST /data/search/` of the local API."""

from datetime import timedelta
from typing import Any

import pytest

from integration_tests.close_api import LocalCloseApi
from integration_tests.harness.warehouse import Clock

from .conftest import NOON, Client


def regular(field: str) -> dict[str, str]:
    return {"type": "regular_field", "object_type": "lead", "field_name": field}


OLDEST_FIRST = [{"direction": "asc", "field": regular("date_updated")}]


def ids(response: Any) -> list[str]:
    return [row["id"] for row in response["data"]]


@pytest.fixture
def leads(api: LocalCloseApi) -> list[str]:
    return [api.store.load_many("lead", 1, NOON - timedelta(days=10 - number))[0] for number in range(10)]


def test_each_kind_of_cursor_returns_moved_rows_in_its_own_way(
    api: LocalCloseApi, client: Client, leads: list[str]
) -> None:
    expected = {"snapshot": leads[5:], "after": [*leads[5:], leads[0]], "offset": [*leads[6:], leads[0]]}
    for kind, rest in expected.items():
        for number, lead in enumerate(leads):
            api.store.edit(lead, date_updated=(NOON - timedelta(days=10 - number)).isoformat())
        api.settings.search_cursor = kind  # type: ignore[assignment]
        cursor = client.search(sort=OLDEST_FIRST, _limit=5)["cursor"]
        api.store.edit(leads[0])
        assert ids(client.search(sort=OLDEST_FIRST, _limit=10, cursor=cursor)) == rest, kind


@pytest.mark.usefixtures("leads")
def test_a_cursor_expires_after_30_seconds(client: Client, clock: Clock) -> None:
    cursor = client.search(_limit=1)["cursor"]
    clock.advance(seconds=30)
    assert client.try_search(_limit=1, cursor=cursor).status_code == 200
    clock.advance(seconds=1)
    response = client.try_search(_limit=1, cursor=cursor)
    assert (response.status_code, response.json()) == (400, {"field-errors": {"cursor": "Expired cursor"}})


def test_unknown_conditions_and_exceeded_limits_get_400(client: Client) -> None:
    known = {"type": "field_condition", "field": regular("date_updated"), "condition": {"type": "moment_range"}}
    for unknown in ({"field": regular("date_created")}, {"condition": {"type": "term"}}):
        response = client.try_search(known | unknown)
        assert (response.status_code, "Unsupported query" in response.text) == (400, True)
    assert "less than or equal to 200" in client.try_search(_limit=201).text
    names = [f"custom.cf_{number}" for number in range(101)]
    response = client.try_search(_fields={"lead": names})
    assert (response.status_code, "List is too long." in response.text) == (400, True)

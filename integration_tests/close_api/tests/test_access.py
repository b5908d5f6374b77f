"""Keys, paths, roles and the request log of the local API."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from integration_tests.close_api import LocalCloseApi

from .conftest import Client


@pytest.mark.parametrize("path", ["/api/v1//user/", "//api/v1/user/", "/api//v1/user//", "/api/v1///user////"])
def test_several_slashes_count_as_one(api: LocalCloseApi, client: Client, path: str) -> None:
    root = api.url.removesuffix("/api/v1")
    response = client.session.get(f"{root}{path}?_limit=1", timeout=60)
    assert response.json()["data"] == client.json("/user/", _limit=1)["data"]
    assert api.requests[0].path == "/user/"


def test_forbidden_paths_get_their_status(api: LocalCloseApi, client: Client) -> None:
    api.settings.forbidden = {"/event/": 403, "/activity/": 402}
    assert [client.get(path).status_code for path in ("/event/", "/activity/note/", "/task/")] == [403, 402, 200]


def test_hidden_leads_and_their_children_are_left_out(api: LocalCloseApi, client: Client) -> None:
    hidden, shown = (api.store.add("lead")["id"] for _ in range(2))
    note = api.store.add("Note", lead_id=hidden)["id"]
    api.settings.hidden_lead_ids = {hidden}
    assert client.ids("/lead/") == [shown]
    assert client.ids("/lead/", id__in=f"{hidden},{shown}") == [shown]
    assert [row["id"] for row in client.search()["data"]] == [shown]
    assert note not in client.ids("/activity/")
    assert client.get(f"/lead/{hidden}/").status_code == 404
    api.settings.hidden_lead_ids = set()
    assert set(client.ids("/lead/")) == {hidden, shown}


def test_the_method_override_header_turns_a_post_into_a_get(api: LocalCloseApi, client: Client) -> None:
    ids = api.store.load_many("task", 3, api.settings.now())
    body = {"_params": {"id__in": ids[:2], "_type": "all", "_limit": 1}}
    response = client.post("/task/", body, **{"x-http-method-override": "GET"}).json()
    assert response["data"][0]["id"] in ids[:2]
    assert (response["has_more"], response["total_results"]) == (True, 2)


def test_the_request_log_has_every_request(api: LocalCloseApi, client: Client) -> None:
    client.get("/user/", _limit=5)
    client.try_search(_limit=1)
    client.post("/task/", {"_params": {"_limit": 3}}, **{"x-http-method-override": "GET"})
    first, second, third = api.requests
    assert (first.method, first.path, first.query, first.status) == ("GET", "/user/", {"_limit": "5"}, 200)
    assert second.json["_limit"] == 1
    assert (third.method, third.query) == ("POST", {"_limit": "3"})
    assert first.started < second.started <= time.monotonic()
    api.clear_requests()
    assert api.requests == []


def test_latency_delays_responses_and_requests_in_flight_are_counted(api: LocalCloseApi, client: Client) -> None:
    api.settings.latency = 1.0
    with ThreadPoolExecutor(4) as pool:
        begin = time.monotonic()
        list(pool.map(lambda _: requests.get(f"{api.url}/me/", auth=client.session.auth, timeout=60), range(4)))
    assert 1.0 <= time.monotonic() - begin < 3.5
    assert max(entry.in_flight for entry in api.requests) == 4

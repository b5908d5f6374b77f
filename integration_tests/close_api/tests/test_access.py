"""Keys, paths, roles and the request log of the local API."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from integration_tests.close_api import Fault, LocalCloseApi

from .conftest import Client


def test_a_wrong_key_gets_401(api: LocalCloseApi) -> None:
    response = requests.get(f"{api.url}/me/", auth=("wrong", ""), timeout=60)
    assert (response.status_code, response.json()) == (401, {"error": "Unauthorized"})


def test_a_key_that_is_sent_as_the_password_gets_401(api: LocalCloseApi) -> None:
    assert requests.get(f"{api.url}/me/", auth=("", api.settings.api_key), timeout=60).status_code == 401


def test_a_bearer_token_is_accepted(api: LocalCloseApi) -> None:
    api.settings.access_token = "token"
    headers = {"Authorization": "Bearer token"}
    assert requests.get(f"{api.url}/me/", headers=headers, timeout=60).status_code == 200


def test_me_has_organizations_and_role(api: LocalCloseApi, client: Client) -> None:
    assert client.json("/me/")["memberships"][0]["role_id"] == "admin"
    assert client.json("/me/")["organizations"][0]["lead_statuses"]
    api.settings.admin = False
    assert client.json("/me/")["memberships"][0]["role_id"] == "user"


def test_a_path_without_a_final_slash_is_redirected(api: LocalCloseApi, client: Client) -> None:
    response = client.session.get(f"{api.url}/user?_limit=1", allow_redirects=False, timeout=60)
    assert response.status_code == 308
    assert response.headers["location"] == "/api/v1/user/?_limit=1"
    assert client.get("/user").status_code == 200


def test_an_unknown_path_gets_404_and_a_wrong_method_405(client: Client) -> None:
    assert client.get("/nothing/").status_code == 404
    assert client.get("/lead/lead_none/").status_code == 404
    wrong = client.get("/data/search/")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    assert client.post("/lead/", {}).headers["allow"] == "GET"
    assert "allow" not in client.get("/nothing/").headers


@pytest.mark.parametrize("path", ["/api/v1//user/", "//api/v1/user/", "/api//v1/user//", "/api/v1///user////"])
def test_several_slashes_count_as_one(api: LocalCloseApi, client: Client, path: str) -> None:
    root = api.url.removesuffix("/api/v1")
    response = client.session.get(f"{root}{path}?_limit=1", timeout=60)
    assert response.json()["data"] == client.json("/user/", _limit=1)["data"]
    assert api.requests[0].path == "/user/"


def test_several_slashes_are_redirected_without_the_final_slash(api: LocalCloseApi, client: Client) -> None:
    response = client.session.get(f"{api.url}//user?_limit=1", allow_redirects=False, timeout=60)
    assert (response.status_code, response.headers["location"]) == (308, "/api/v1/user/?_limit=1")


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


def test_parameters_in_the_body_of_a_get_are_ignored(api: LocalCloseApi, client: Client) -> None:
    api.store.load_many("Note", 2, api.settings.now())
    response = client.session.get(f"{api.url}/activity/", json={"date_created__gte": "2100-01-01"}, timeout=60)
    assert len(response.json()["data"]) == 2


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


def test_every_response_has_the_date_of_the_servers_clock(api: LocalCloseApi, client: Client) -> None:
    api.faults.add(Fault("status", "/user/"))
    for path in ("/me/", "/user/", "/nothing/"):
        assert client.get(path).headers["date"] == "Thu, 15 Jan 2026 12:00:00 GMT"


def test_latency_delays_responses_and_requests_in_flight_are_counted(api: LocalCloseApi, client: Client) -> None:
    api.settings.latency = 1.0
    with ThreadPoolExecutor(4) as pool:
        begin = time.monotonic()
        list(pool.map(lambda _: requests.get(f"{api.url}/me/", auth=client.session.auth, timeout=60), range(4)))
    assert 1.0 <= time.monotonic() - begin < 3.5
    assert max(entry.in_flight for entry in api.requests) == 4


def test_a_hook_can_change_data_between_requests(api: LocalCloseApi, client: Client) -> None:
    ids = api.store.load_many("Note", 4, api.settings.now())
    end = api.store.on_request(lambda number: api.store.delete(ids[0]) if number == 2 else None)
    assert len(client.ids("/activity/")) == 4
    assert len(client.ids("/activity/")) == 3
    end()
    assert len(client.ids("/activity/")) == 3


def test_control_endpoints_show_and_change_the_server(api: LocalCloseApi, client: Client) -> None:
    root = api.url.removesuffix("/api/v1")
    leads = [api.store.add("lead")["id"] for _ in range(4)]
    note = api.store.add("Note", lead_id=leads[0])["id"]
    api.store.add("task", lead_id=leads[1])
    ids = requests.get(f"{root}/control/ids?stream=leads", timeout=60).json()["ids"]
    assert set(ids) == set(leads)
    assert note in requests.get(f"{root}/control/ids?stream=activities", timeout=60).json()["ids"]
    assert requests.get(f"{root}/control/ids?stream=event_log&since=2100-01-01", timeout=60).json()["ids"] == []
    changes = {"latency": 0.01, "rate_limit": [100, 1.0], "faults": [{"kind": "status", "path": "/me/", "times": 1}]}
    assert requests.post(f"{root}/control/settings", json=changes, timeout=60).status_code == 200
    assert client.get("/me/").status_code == 500
    assert client.get("/me/").headers["ratelimit"].startswith("limit=100")
    assert requests.post(f"{root}/control/settings", json={"nonsense": 1}, timeout=60).status_code == 400
    summary = requests.get(f"{root}/control/requests", timeout=60).json()
    assert summary["by_path"]["/me/"] == {"500": 1, "200": 1}
    assert summary["max_in_flight"] == 1
    done = requests.post(f"{root}/control/change?count=12", timeout=60).json()
    assert done["added"]
    assert done["merged"]


@pytest.mark.parametrize(
    "changes",
    [
        {"rate_limit": 40},
        {"rate_limit": [40]},
        {"rate_limit": [40, 1.0, 2]},
        {"rate_limit": ["40", 1.0]},
        {"rate_limit": [40, "1.0"]},
        {"rate_limit": [True, 1.0]},
        {"rate_limit": [-1, 1.0]},
        {"rate_limit": [40, 0]},
        {"rate_limits": [40, 1.0]},
        {"rate_limits": {"me": 40}},
        {"hidden_rate_limits": {"me": [40, None]}},
        {"max_skip": 5},
        {"faults": [{"kind": "reset", "nonsense": 1}]},
        {"faults": 5},
        [],
    ],
)
def test_a_bad_setting_gets_400_and_changes_nothing(api: LocalCloseApi, client: Client, changes: Any) -> None:
    root = api.url.removesuffix("/api/v1")
    if isinstance(changes, dict):
        changes = {"latency": 0.5, "faults": [{"kind": "status"}], **changes}
    response = requests.post(f"{root}/control/settings", json=changes, timeout=60)
    assert response.status_code == 400
    assert response.json()["error"]
    assert api.settings.latency == 0
    assert api.settings.rate_limit is None
    assert client.get("/me/").status_code == 200


def test_settings_that_are_not_json_get_400(api: LocalCloseApi) -> None:
    root = api.url.removesuffix("/api/v1")
    assert requests.post(f"{root}/control/settings", data="{", timeout=60).status_code == 400

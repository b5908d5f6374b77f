"""Faults and rate limits of the local API."""

import time
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from integration_tests.close_api import Fault, LocalCloseApi, RateLimit

from .conftest import Client


def test_a_reset_fault_resets_the_connection(api: LocalCloseApi, client: Client) -> None:
    api.faults.add(Fault("reset", "/me/", times=1))
    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        client.get("/me/")
    assert api.requests[-1].status == 0
    assert client.get("/me/").status_code == 200


def test_a_fault_can_close_the_connection_in_the_middle_of_a_body(api: LocalCloseApi, client: Client) -> None:
    api.faults.add(Fault("close_mid_body", "/me/", times=1))
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.ConnectionError), match="IncompleteRead"):
        client.get("/me/")
    assert client.get("/me/").status_code == 200


def test_a_fault_can_send_an_invalid_body_with_status_200(api: LocalCloseApi, client: Client) -> None:
    api.faults.add(Fault("truncate", "/me/", times=1))
    response = client.get("/me/")
    assert response.status_code == 200
    assert int(response.headers["content-length"]) == len(response.content)
    with pytest.raises(requests.JSONDecodeError):
        response.json()


def test_hang_and_slow_faults_delay_the_response(api: LocalCloseApi, client: Client) -> None:
    api.faults.add(Fault("hang", "/me/", seconds=5.0, times=1), Fault("slow", "/user/", seconds=0.2, times=1))
    with pytest.raises(requests.ReadTimeout):
        client.session.get(f"{api.url}/me/", timeout=0.1)
    begin = time.monotonic()
    assert client.get("/user/").status_code == 200
    assert time.monotonic() - begin >= 0.2


def test_each_endpoint_group_has_its_own_rate_limit(
    api: LocalCloseApi, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(monotonic=lambda: 0.0)
    monkeypatch.setattr("integration_tests.close_api.ratelimit.time", clock)
    api.settings.rate_limit = RateLimit(2, 0.3)
    headers = client.get("/user/").headers["ratelimit"]
    assert headers.startswith("limit=2, remaining=1, reset=0.")
    assert [client.get("/user/").status_code for _ in range(2)] == [200, 429]
    assert client.get("/me/").headers["ratelimit"].startswith("limit=2, remaining=1")
    clock.monotonic = lambda: 0.3
    assert client.get("/user/").status_code == 200


@pytest.mark.parametrize(
    ("retry_after", "header", "body"),
    [
        (True, True, "plain"),
        (False, True, "empty"),
        (True, False, "old"),
        (False, False, "old"),
        (False, False, "empty"),
    ],
)
def test_the_form_of_a_429_follows_the_settings(
    api: LocalCloseApi, client: Client, retry_after: bool, header: bool, body: Any
) -> None:
    settings = api.settings
    settings.rate_limit = RateLimit(0, 2.5)
    settings.rate_limit_reply_retry_after = retry_after
    settings.rate_limit_reply_header = header
    settings.rate_limit_reply_body = body
    response = client.get("/me/")
    assert response.status_code == 429
    assert response.headers.get("retry-after") == ("3" if retry_after else None)
    assert ("ratelimit" in response.headers) is header
    match body:
        case "empty":
            assert response.content == b""
        case "plain":
            assert isinstance(response.json()["error"], str)
        case _:
            assert 2 < response.json()["error"]["rate_reset"] <= 2.5

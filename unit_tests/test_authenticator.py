"""Requests: their headers and redirects, and how they wait for a rate limit."""

import base64
import json
from io import BytesIO

import pytest
import requests
from requests_mock import ANY, Mocker

from source_close.api.authenticator import PacedAuthenticator
from source_close.api.errors import CloseApiError
from source_close.api.sync import Sync
from source_close.source import USER_WAITS_SECONDS
from unit_tests.syncs import API, KEY, Clock, Log, read, response

GROUP = "GET /api/v1/user/"
USER = {"id": "user_1", "date_updated": "2025-06-01T00:00:00+00:00"}


@pytest.fixture
def sync(clock: Clock) -> Sync:
    """Return a sync that may send two more requests in the next 40 seconds."""
    sync = Sync()
    sync.limiter.reserve(GROUP)
    sync.limiter.record_response(GROUP, response(ratelimit="limit=20, remaining=2, reset=40"))
    return sync


@pytest.fixture
def authenticator(sync: Sync) -> PacedAuthenticator:
    """Return the authenticator of a stream whose requests wait at most five minutes."""
    config = {"api_key": KEY, "sync": sync}
    username = "{{ config['api_key'] }}"
    return PacedAuthenticator(username=username, password="", config=config, parameters={}, name="users")


def request(path: str = "user") -> requests.PreparedRequest:
    return requests.Request("GET", f"{API}/{path}/?_limit=1").prepare()


def test_a_request_has_the_key_the_headers_and_the_timeouts(api: Mocker) -> None:
    api.get(f"{API}/user/", json={"data": [USER]})
    assert read("users").ids == ["user_1"]
    sent = api.request_history[0]
    assert sent.headers["Authorization"] == "Basic " + base64.b64encode(f"{KEY}:".encode()).decode()
    assert sent.headers["Accept"] == "application/json"
    assert sent.headers["User-Agent"].startswith("source-close/")
    assert KEY not in sent.url
    assert tuple(map(int, sent.timeout)) == (10, 45)  # type: ignore[call-overload] # a pair, although its type says otherwise


def test_a_body_is_read_in_large_pieces(api: Mocker) -> None:
    sizes = list[int | None]()

    class Body(BytesIO):
        def read(self, size: int | None = None) -> bytes:
            sizes.append(size)
            return super().read(size)

    users = [{**USER, "id": f"user_{number}", "image": "x" * 2_000} for number in range(99)]
    api.get(f"{API}/user/", body=Body(json.dumps({"data": users}).encode()))
    assert len(read("users").ids) == 99
    assert sizes == [131_072, 131_072, 131_072]


def test_a_request_that_is_sent_again_has_each_hook_once(authenticator: PacedAuthenticator) -> None:
    """The CDK authenticates a request before each attempt."""
    once = authenticator(request()).hooks
    assert authenticator(authenticator(request("task"))).hooks == once


def test_requests_over_the_limit_wait_for_a_window(authenticator: PacedAuthenticator, sync: Sync, clock: Clock) -> None:
    for _ in range(2):
        assert authenticator(request()).headers["Authorization"].startswith("Basic ")
    assert clock.now == 1000
    authenticator(request())
    assert 1040 <= clock.now < 1041
    authenticator(request("task"))
    assert clock.now < 1041
    assert sync.current_request.endpoint == "GET /api/v1/task/"


def test_a_waiting_request_fails_when_its_endpoint_is_given_up(
    authenticator: PacedAuthenticator, sync: Sync, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    for _ in range(2):
        authenticator(request())

    def give_up_during_the_wait(seconds: float) -> None:
        clock.now += seconds
        sync.given_up["users", GROUP] = CloseApiError("users", "It is over.")

    monkeypatch.setattr("time.sleep", give_up_during_the_wait)
    with pytest.raises(CloseApiError, match=r"^Stream users: It is over\.$"):
        authenticator(request())
    assert clock.now == 1001


@pytest.mark.parametrize("retry_seconds", [300, USER_WAITS_SECONDS])
def test_a_wait_longer_than_the_retries_fails_at_once(
    authenticator: PacedAuthenticator, sync: Sync, clock: Clock, retry_seconds: int
) -> None:
    sync.retry_seconds = retry_seconds
    wait = retry_seconds + 1
    sync.limiter.record_response(GROUP, response(429), wait)
    text = rf"^Stream users: GET /api/v1/user/ has waited 0 s for its rate limit, .+ would wait {wait} s more"
    with pytest.raises(CloseApiError, match=text):
        authenticator(request())
    assert clock.now == 1000


def test_a_wait_for_responses_that_never_come_ends_but_pauses_of_the_process_do_not_count(
    authenticator: PacedAuthenticator, sync: Sync, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that is none of a request leaves no response. An endpoint that is down is given up before."""
    monkeypatch.setattr("time.sleep", lambda seconds: clock.sleep(seconds + 9))
    while sync.limiter.reserve("GET /api/v1/task/") == 0:
        pass
    with pytest.raises(CloseApiError, match=r"^Stream users: GET /api/v1/task/ has waited 600 s for its rate limit"):
        authenticator(request("task"))
    assert clock.now > 6000


def test_a_long_wait_is_logged_every_30_seconds(authenticator: PacedAuthenticator, sync: Sync, caplog: Log) -> None:
    sync.limiter.record_response(GROUP, response(429), 0.4)
    authenticator(request())  # a short wait is not logged
    sync.limiter.record_response(GROUP, response(429), 95.0)
    authenticator(request())
    text = "for the rate limit of GET /api/v1/user/."
    assert caplog.messages == [f"Stream users waits {seconds}.0 s {text}" for seconds in (95, 65, 35, 5)]


@pytest.mark.parametrize(
    "target",
    [
        "http://api.close.com/api/v1/user/?_limit=1000&_skip=0",
        "https://evil.example/api/v1/user/?_limit=1000&_skip=0",
        "//evil.example/?_limit=1000&_skip=0",
        "http://[x?_limit=1000&_skip=0",
        # A list of tasks without `_type=all` would lack most types.
        "/api/v2/user/",
        "/api/v2/user/?_skip=0",
    ],
)
def test_a_redirect_to_another_host_or_to_http_or_without_the_filters_is_not_followed(api: Mocker, target: str) -> None:
    api.get(ANY, json={"data": [USER]})
    api.get(f"{API}/user/", status_code=302, headers={"Location": target})
    [failure] = read("users").failures
    assert failure.kind == "config_error"
    assert "failed: the response (302) is a redirect to " in failure.message
    assert api.call_count == 1


def test_a_redirect_on_the_same_host_is_followed(api: Mocker) -> None:
    api.get(f"{API}/user/", status_code=308, headers={"Location": "/api/v2/user/?_limit=1000&_skip=0"})
    api.get("https://api.close.com/api/v2/user/", json={"data": [USER]})
    assert read("users").ids == ["user_1"]
    assert api.request_history[1].headers["Authorization"].startswith("Basic ")


def test_a_redirect_of_a_list_without_filters_is_not_followed(api: Mocker) -> None:
    """It could be one to a page for a login."""
    target = "https://api.close.com/login"
    api.get(target, text="<html>Log in</html>")
    api.get(f"{API}/custom_field/shared/", status_code=302, headers={"Location": "/login"})
    [failure] = read("custom_fields").failures
    assert failure.kind == "config_error"
    assert f"failed: the response (302) is a redirect to {target}." in failure.message


def test_the_redirect_of_a_post_is_not_followed(api: Mocker) -> None:
    """The request that follows would be a GET without a body, which returns other leads, or fewer of their columns."""
    moved = "https://api.close.com/api/v2/data/search/"
    api.post(f"{API}/data/search/", status_code=301, headers={"Location": moved})
    api.get(moved, json={"data": [], "cursor": None})
    [failure] = read("leads", start_date="2025-06-01").failures
    assert failure.kind == "config_error"
    assert api.call_count == 1
    assert f"failed: the response (301) is a redirect to {moved}." in failure.message

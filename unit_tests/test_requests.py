"""Requests: their headers and redirects, the rate limits that responses report, and the waits for these."""

import base64

import pytest
import requests
from requests_mock import ANY, Mocker

from source_close.api.authenticator import PacedAuthenticator
from source_close.api.errors import CloseApiError
from source_close.api.rate_limits import RateLimiter
from source_close.api.sync import Sync
from unit_tests.syncs import API, KEY, Clock, Log, read, response

GROUP = "GET /api/v1/user/"
USER = {"id": "user_1", "date_updated": "2025-06-01T00:00:00+00:00"}


@pytest.fixture
def sync(clock: Clock) -> Sync:
    """Return a sync that may send two more requests in the next 40 seconds."""
    sync = Sync()
    sync.limiter.reserve(GROUP)
    sync.limiter.record_response(GROUP, response(ratelimit="limit=20, remaining=2, reset=40"), None)
    return sync


@pytest.fixture
def authenticator(sync: Sync) -> PacedAuthenticator:
    """Return the authenticator of a stream whose requests wait at most five minutes."""
    config = {"api_key": KEY, "sync": sync}
    return PacedAuthenticator(
        username="{{ config['api_key'] }}",
        password="",
        config=config,
        parameters={},
        name="users",
        max_wait_seconds=300,
    )


def request(path: str = "user") -> requests.PreparedRequest:
    return requests.Request("GET", f"{API}/{path}/?_limit=1").prepare()


def test_a_request_has_the_key_and_the_headers_and_timeouts_of_the_manifest(api: Mocker) -> None:
    api.get(f"{API}/user/", json={"data": [USER]})
    assert read("users").ids == ["user_1"]
    sent = api.request_history[0]
    assert sent.headers["Authorization"] == "Basic " + base64.b64encode(f"{KEY}:".encode()).decode()
    assert sent.headers["Accept"] == "application/json"
    assert sent.headers["User-Agent"].startswith("source-close/")
    assert KEY not in sent.url
    assert tuple(map(int, sent.timeout)) == (10, 45)  # type: ignore[call-overload] # a pair, although its type says otherwise


def test_requests_over_the_rate_limit_wait_for_its_next_window(
    authenticator: PacedAuthenticator, sync: Sync, clock: Clock
) -> None:
    for _ in range(2):
        assert authenticator(request()).headers["Authorization"].startswith("Basic ")
    assert clock.now == 1000
    authenticator(request())
    assert 1040 <= clock.now < 1041
    authenticator(request("task"))
    assert clock.now < 1041
    assert sync.in_flight.endpoint == "GET /api/v1/task/"


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


def test_a_wait_longer_than_the_maximum_fails_at_once(
    authenticator: PacedAuthenticator, sync: Sync, clock: Clock
) -> None:
    sync.limiter.record_response(GROUP, response(429), 301.0)
    with pytest.raises(
        CloseApiError,
        match=r"^Stream users: GET /api/v1/user/ has waited 0 s for its rate limit and would wait 301 s more",
    ):
        authenticator(request())
    assert clock.now == 1000


def test_a_long_wait_is_logged_every_30_seconds(authenticator: PacedAuthenticator, sync: Sync, caplog: Log) -> None:
    sync.limiter.record_response(GROUP, response(429), 95.0)
    authenticator(request())
    assert caplog.messages == [
        f"Stream users waits {seconds}.0 s for the rate limit of GET /api/v1/user/." for seconds in (95, 65, 35, 5)
    ]


@pytest.mark.parametrize(
    "target",
    [
        "http://api.close.com/api/v1/user/",
        "https://evil.example/api/v1/user/",
        "//evil.example/",
        "ftp://x/",
        "http://[x",
    ],
)
def test_a_redirect_to_another_host_or_to_http_is_not_followed(api: Mocker, target: str) -> None:
    api.get(ANY, json={"data": [USER]})
    api.get(f"{API}/user/", status_code=302, headers={"Location": target})
    ((_, kind, message),) = read("users").failures
    assert kind == "config_error"
    assert "answered 302: «redirect to " in message
    assert api.call_count == 1


def test_a_redirect_on_the_same_host_is_followed(api: Mocker) -> None:
    api.get(f"{API}/user/", status_code=308, headers={"Location": "/api/v2/user/"})
    api.get("https://api.close.com/api/v2/user/", json={"data": [USER]})
    assert read("users").ids == ["user_1"]
    assert api.request_history[1].headers["Authorization"].startswith("Basic ")


@pytest.fixture
def limiter() -> RateLimiter:
    return RateLimiter()


def with_header(remaining: int, reset: str, limit: int = 20, status: int = 200) -> requests.Response:
    return response(status, ratelimit=f"limit={limit}, remaining={remaining}, reset={reset}")


def send_one(limiter: RateLimiter, received: requests.Response | None) -> None:
    """Send one request, and record its response at once."""
    assert limiter.reserve(GROUP) == 0
    limiter.record_response(GROUP, received)


def wait_out(limiter: RateLimiter, clock: Clock) -> None:
    """Wait until a request may start, and reserve it."""
    while (wait := limiter.reserve(GROUP)) > 0:
        clock.sleep(wait)


def reserve_all(limiter: RateLimiter, group: str = GROUP) -> int:
    """Reserve requests until one has to wait, and return their number."""
    count = 0
    while count < 100 and limiter.reserve(group) == 0:
        count += 1
    return count


@pytest.mark.parametrize(
    "header",
    ["limit=20, remaining=3, reset=0.5", "limit=20,remaining=3,reset=0.5", "limit=20,  remaining=3,  reset=0.500"],
)
def test_requests_beyond_the_header_wait_for_the_end_of_the_window(
    limiter: RateLimiter, clock: Clock, header: str
) -> None:
    send_one(limiter, response(ratelimit=header))
    assert reserve_all(limiter) == 3
    assert limiter.reserve(GROUP) == pytest.approx(0.5)
    clock.sleep(0.2)
    assert limiter.reserve(GROUP) == pytest.approx(0.3)


def test_a_new_window_allows_the_limit_minus_the_requests_in_flight(limiter: RateLimiter, clock: Clock) -> None:
    send_one(limiter, with_header(0, "1.0"))
    assert limiter.reserve(GROUP) == pytest.approx(1.0)
    clock.sleep(1.0)
    assert reserve_all(limiter) == 20
    assert limiter.reserve(GROUP) == pytest.approx(0.01)  # all requests that could report the new window are in flight
    limiter.record_response(GROUP, with_header(19, "0.9"))
    assert limiter.reserve(GROUP) == pytest.approx(0.9)


def test_a_late_response_does_not_increase_the_remaining_requests(limiter: RateLimiter) -> None:
    for _ in range(2):
        assert limiter.reserve(GROUP) == 0
    limiter.record_response(GROUP, with_header(1, "0.8"))
    limiter.record_response(GROUP, with_header(2, "0.8"))
    assert reserve_all(limiter) == 0


def test_reading_continues_when_responses_no_longer_have_the_header(limiter: RateLimiter, clock: Clock) -> None:
    send_one(limiter, with_header(1, "1.0", limit=2))
    send_one(limiter, response())
    assert limiter.reserve(GROUP) == pytest.approx(1.0)
    clock.sleep(1.0)
    for _ in range(10):
        send_one(limiter, response())


def test_reading_continues_when_only_429s_have_the_header(limiter: RateLimiter, clock: Clock) -> None:
    assert limiter.reserve(GROUP) == 0
    limiter.record_response(GROUP, with_header(0, "0.5", limit=2, status=429), 0.5)
    assert limiter.reserve(GROUP) == pytest.approx(0.5)
    for _ in range(10):
        wait_out(limiter, clock)
        limiter.record_response(GROUP, response())
    assert clock.now < 1000 + 60


def test_a_429_delays_every_request_of_its_group(limiter: RateLimiter, clock: Clock) -> None:
    assert limiter.reserve(GROUP) == 0
    assert limiter.reserve(GROUP) == 0
    limiter.record_response(GROUP, response(429), 3)
    assert limiter.reserve(GROUP) == pytest.approx(3)
    limiter.record_response(GROUP, response(429), 2)
    assert limiter.reserve(GROUP) == pytest.approx(3)  # the longer wait counts
    assert limiter.reserve("POST /api/v1/data/search/") == 0
    clock.sleep(3)
    assert limiter.reserve(GROUP) == 0


def test_the_wait_doubles_up_to_60_seconds_after_429s_without_a_wait(limiter: RateLimiter, clock: Clock) -> None:
    waits = []
    for _ in range(9):
        wait_out(limiter, clock)
        limiter.record_response(GROUP, response(429))
        waits.append(limiter.reserve(GROUP))
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_a_success_resets_the_growing_waits(limiter: RateLimiter, clock: Clock) -> None:
    for expected, received in [(1, response(429)), (2, response(429)), (None, response()), (1, response(429))]:
        wait_out(limiter, clock)
        limiter.record_response(GROUP, received)
        if expected:
            assert limiter.reserve(GROUP) == expected


def test_429s_of_requests_in_flight_together_count_once(limiter: RateLimiter, clock: Clock) -> None:
    for _ in range(4):
        assert limiter.reserve(GROUP) == 0
    for _ in range(2):
        limiter.record_response(GROUP, response(429))
    clock.sleep(0.1)
    limiter.record_response(GROUP, response(429))
    assert limiter.reserve(GROUP) <= 2


def test_the_pace_after_a_429_is_below_the_last_successful_rate_and_grows_again(
    limiter: RateLimiter, clock: Clock
) -> None:
    for _ in range(20):  # 20 requests in a second
        send_one(limiter, response())
        clock.sleep(0.05)
    assert limiter.reserve(GROUP) == 0
    limiter.record_response(GROUP, response(429), 1)
    clock.sleep(1)

    def pace() -> int:
        """Send requests for five seconds, and return their number."""
        until, count = clock.now + 5, 0
        while clock.now < until:
            wait_out(limiter, clock)
            limiter.record_response(GROUP, response())
            count += 1
        return count

    first, second, third = pace(), pace(), pace()
    assert 80 <= first <= 95
    assert first < second < third <= 120


def test_a_success_during_a_wait_does_not_change_the_pace(limiter: RateLimiter, clock: Clock) -> None:
    for _ in range(3):
        limiter.reserve(GROUP)
    limiter.record_response(GROUP, response())
    limiter.record_response(GROUP, response(429), 1750000000)  # a moment instead of seconds
    limiter.record_response(GROUP, response())
    assert limiter.reserve(GROUP) == pytest.approx(1_750_000_000)


def test_the_number_of_requests_in_flight_grows_while_no_limit_is_known(limiter: RateLimiter) -> None:
    starts = []
    for _ in range(7):
        starts.append(reserve_all(limiter))
        for _ in range(starts[-1]):
            limiter.record_response(GROUP, response())
    assert starts == [4, 6, 9, 14, 21, 31, 47]

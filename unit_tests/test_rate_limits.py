"""Rate limits: those that responses report, and the pace that 429s teach."""

import pytest
import requests

from source_close.api.rate_limits import RateLimiter
from unit_tests.syncs import Clock, response

GROUP = "GET /api/v1/user/"


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
    wait = limiter.reserve(GROUP)
    while wait > 0:
        clock.sleep(wait)
        wait = limiter.reserve(GROUP)


def reserve_all(limiter: RateLimiter) -> int:
    """Reserve requests until one has to wait, and return their number."""
    count = 0
    while count < 100 and limiter.reserve(GROUP) == 0:
        count += 1
    return count


@pytest.mark.parametrize(
    "header",
    ["limit=20, remaining=3, reset=0.5", "limit=20,remaining=3,reset=0.5", "limit=20,  remaining=3,  reset=0.500"],
)
def test_requests_beyond_the_header_wait_for_the_next_window(limiter: RateLimiter, clock: Clock, header: str) -> None:
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
    assert reserve_all(limiter) == 10  # as many as 12 successes allow without a limit


def test_a_window_in_which_every_request_gets_a_429_does_not_end_the_limit(limiter: RateLimiter, clock: Clock) -> None:
    """Another program may have used it up."""
    refusal = with_header(0, "1.0", limit=2, status=429)
    send_one(limiter, with_header(0, "1.0", limit=2))
    for _ in range(2):
        clock.sleep(1)
        assert reserve_all(limiter) == 2
        limiter.record_response(GROUP, refusal, 1)
        limiter.record_response(GROUP, refusal, 1)


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


def test_the_wait_after_429s_without_one_doubles_up_to_60_seconds_and_begins_anew_after_a_success(
    limiter: RateLimiter, clock: Clock
) -> None:
    waits = []
    for status in (*[429] * 9, 200, 429):
        wait_out(limiter, clock)
        limiter.record_response(GROUP, response(status))
        waits.append(limiter.reserve(GROUP))
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60, 0, 1]


def test_several_429s_in_flight_count_as_one(limiter: RateLimiter, clock: Clock) -> None:
    assert [limiter.reserve(GROUP) for _ in range(4)] == [0, 0, 0, 0]
    for _ in range(4):
        limiter.record_response(GROUP, response(429))
    assert limiter.reserve(GROUP) == pytest.approx(1)
    clock.sleep(1)
    send_one(limiter, response(429))
    assert limiter.reserve(GROUP) == pytest.approx(2)


def test_the_pace_after_a_429_is_below_the_last_successful_rate_and_grows(limiter: RateLimiter, clock: Clock) -> None:
    for _ in range(20):  # 20 requests in a second
        send_one(limiter, response())
        clock.sleep(0.05)
    assert limiter.reserve(GROUP) == 0
    limiter.record_response(GROUP, response(429), 1)
    clock.sleep(1)

    def pace() -> int:
        """Send requests for five seconds, and return their number."""
        count = 0
        end = clock.now + 5
        while clock.now < end:
            wait_out(limiter, clock)
            limiter.record_response(GROUP, response())
            count += 1
        return count

    first, second, third = [pace() for _ in range(3)]
    assert 80 <= first <= 95
    assert first < second < third <= 120


def test_the_pace_after_a_429_is_that_of_the_last_two_seconds(limiter: RateLimiter, clock: Clock) -> None:
    for seconds in (1.0,) * 5 + (0.1,) * 20:
        send_one(limiter, response())
        clock.sleep(seconds)
    assert limiter.reserve(GROUP) == 0
    limiter.record_response(GROUP, response(429), 1)
    clock.sleep(1)
    wait_out(limiter, clock)
    assert limiter.reserve(GROUP) == pytest.approx(0.1 / 0.85, rel=0.1)


def test_a_429_within_a_known_limit_does_not_change_the_pace(limiter: RateLimiter, clock: Clock) -> None:
    send_one(limiter, with_header(10, "1.0"))
    assert limiter.reserve(GROUP) == 0
    limiter.record_response(GROUP, with_header(0, "1.0", status=429), 1)
    clock.sleep(1)
    assert reserve_all(limiter) == 20


def test_a_limit_that_is_reset_early_counts_at_once(limiter: RateLimiter) -> None:
    send_one(limiter, with_header(1, "1.0"))
    send_one(limiter, with_header(50, "9.0", limit=60))
    assert reserve_all(limiter) == 50
    assert limiter.reserve(GROUP) == pytest.approx(9.0)


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

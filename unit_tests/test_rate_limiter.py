"""The rate limiter: what answers tell of a limit, how long to wait, and what a whole read costs against a limit."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import requests

from source_close.components.rate_limiter import RateLimiter, wait_seconds
from unit_tests.rate_limited_server import FixedWindows, response, simulate
from unit_tests.syncs import Clock

GROUP = "GET /api/v1/activity/"


@pytest.fixture
def limiter(clock: Clock) -> RateLimiter:
    return RateLimiter(clock)


def told(remaining: int, reset: str, limit: int = 20, status: int = 200) -> requests.Response:
    return response(status, ratelimit=f"limit={limit}, remaining={remaining}, reset={reset}")


def one(limiter: RateLimiter, answer: requests.Response | None) -> None:
    """Send one request that is answered at once."""
    assert limiter.reserve(GROUP) == 0
    limiter.record_response(GROUP, answer)


def wait_out(limiter: RateLimiter, clock: Clock) -> None:
    """Wait until a request may start, and reserve it."""
    while (wait := limiter.reserve(GROUP)) > 0:
        clock.sleep(wait)


def free(limiter: RateLimiter, group: str = GROUP) -> int:
    """How many requests may start now."""
    count = 0
    while count < 100 and limiter.reserve(group) == 0:
        count += 1
    return count


@pytest.mark.parametrize(
    "header",
    ["limit=20, remaining=3, reset=0.5", "limit=20,remaining=3,reset=0.5", "limit=20,  remaining=3,  reset=0.500"],
)
def test_what_the_header_says_is_kept_to_and_the_wait_ends_with_the_window(
    limiter: RateLimiter, clock: Clock, header: str
) -> None:
    one(limiter, response(ratelimit=header))
    assert free(limiter) == 3
    assert limiter.reserve(GROUP) == pytest.approx(0.5)
    clock.sleep(0.2)
    assert limiter.reserve(GROUP) == pytest.approx(0.3)


def test_a_new_window_has_the_whole_limit_less_what_is_under_way(limiter: RateLimiter, clock: Clock) -> None:
    one(limiter, told(0, "1.0"))
    assert limiter.reserve(GROUP) == pytest.approx(1.0)
    clock.sleep(1.0)
    assert free(limiter) == 20
    assert limiter.reserve(GROUP) == pytest.approx(0.01)  # every request that could tell more is under way
    limiter.record_response(GROUP, told(19, "0.9"))
    assert limiter.reserve(GROUP) == pytest.approx(0.9)


def test_what_one_worker_learns_every_worker_knows_and_other_groups_do_not(limiter: RateLimiter) -> None:
    assert limiter.reserve(GROUP) == 0
    assert limiter.reserve(GROUP) == 0
    limiter.record_response(GROUP, told(1, "2.0"))  # 1 left, and that one is under way
    assert limiter.reserve(GROUP) == pytest.approx(2.0)
    assert limiter.reserve("GET /api/v1/task/") == 0


def test_an_answer_that_was_overtaken_does_not_give_requests_back(limiter: RateLimiter) -> None:
    for _ in range(2):
        assert limiter.reserve(GROUP) == 0
    limiter.record_response(GROUP, told(1, "0.8"))
    limiter.record_response(GROUP, told(2, "0.8"))
    assert free(limiter) == 0


def test_requests_without_an_answer_are_no_longer_under_way(limiter: RateLimiter, clock: Clock) -> None:
    one(limiter, told(20, "1.0"))
    assert free(limiter) == 20
    for _ in range(20):
        limiter.record_response(GROUP, None)
    clock.sleep(1.0)
    assert free(limiter) == 20


def test_answers_that_cease_to_have_the_header_do_not_stop_the_reading(limiter: RateLimiter, clock: Clock) -> None:
    one(limiter, told(1, "1.0", limit=2))
    one(limiter, response())
    assert limiter.reserve(GROUP) == pytest.approx(1.0)
    clock.sleep(1.0)
    for _ in range(10):
        one(limiter, response())


def test_a_limit_that_only_refusals_name_does_not_stop_the_reading(limiter: RateLimiter, clock: Clock) -> None:
    one(limiter, told(0, "0.5", limit=2, status=429))
    assert limiter.reserve(GROUP) == pytest.approx(0.5)
    for _ in range(10):
        wait_out(limiter, clock)
        limiter.record_response(GROUP, response())
    assert clock.now < 1000 + 60


def test_a_refusal_holds_every_request_to_the_group_back(limiter: RateLimiter, clock: Clock) -> None:
    assert limiter.reserve(GROUP) == 0
    assert limiter.reserve(GROUP) == 0
    limiter.record_response(GROUP, response(429, retry_after="3"))
    assert limiter.reserve(GROUP) == pytest.approx(3)
    limiter.record_response(GROUP, response(429, retry_after="2"))
    assert limiter.reserve(GROUP) == pytest.approx(3)  # the longer one counts
    assert limiter.reserve("POST /api/v1/data/search/") == 0
    clock.sleep(3)
    assert limiter.reserve(GROUP) == 0


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (response(429, retry_after="7"), 7),
        (response(429, retry_after="0.5"), 0.5),
        (response(429, retry_after="7", ratelimit="limit=20, remaining=0, reset=6.4"), 7),
        (response(429, ratelimit="limit=20, remaining=0, reset=6.4"), 6.4),
        (response(429, ratelimit="limit=20, remaining=0, reset=6"), 6),
        (response(429, retry_after="Wed, 21 Oct 2025 07:28:00 GMT", ratelimit="limit=2, remaining=0, reset=4"), 4),
        (response(429, b'{"error": {"message": "API call count exceeded", "rate_reset": 0.870663}}'), 0.870663),
        (response(429, b'{"error": {"rate_reset": 2, "rate_limit": 40, "rate_window": 1}}'), 2),
        (response(429, b'{"rate_reset": 1.25, "error": "Too many requests"}'), 1.25),
        (response(429, b'{"error": "Too many requests"}'), 0),
        (response(429, b'{"error": {"rate_reset": "soon"}}'), 0),
        (response(429, b'["rate_reset"]'), 0),
        (response(429, b"<html>Too many requests</html>"), 0),
        (response(429, b""), 0),
    ],
    ids=[
        "retry-after",
        "decimal retry-after",
        "retry-after before the header",
        "decimal header",
        "header",
        "a date as retry-after",
        "old body, under error",
        "old body, whole seconds",
        "old body, at the top",
        "a text",
        "an unreadable reset",
        "a list",
        "HTML",
        "nothing",
    ],
)
def test_how_long_a_refusal_says_to_wait(answer: requests.Response, seconds: float) -> None:
    assert wait_seconds(answer) == seconds


@pytest.mark.parametrize("headers", [{}, {"retry_after": "0"}], ids=["no hint", "a wait of nothing"])
def test_refusals_that_name_no_time_are_waited_out_longer_and_longer(
    limiter: RateLimiter, clock: Clock, headers: dict[str, str]
) -> None:
    waits = []
    for _ in range(9):
        wait_out(limiter, clock)
        limiter.record_response(GROUP, response(429, b"", **headers))
        waits.append(limiter.reserve(GROUP))
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_an_answer_in_between_begins_the_growing_waits_anew(limiter: RateLimiter, clock: Clock) -> None:
    for expected, answer in [(1, response(429)), (2, response(429)), (None, response()), (1, response(429))]:
        wait_out(limiter, clock)
        limiter.record_response(GROUP, answer)
        if expected:
            assert limiter.reserve(GROUP) == expected


def test_refusals_of_requests_under_way_together_count_once(limiter: RateLimiter, clock: Clock) -> None:
    for _ in range(4):
        assert limiter.reserve(GROUP) == 0
    for _ in range(2):
        limiter.record_response(GROUP, response(429))
    clock.sleep(0.1)
    limiter.record_response(GROUP, response(429))
    assert limiter.reserve(GROUP) <= 2


def test_the_pace_after_a_refusal_is_below_the_rate_that_went_well_and_grows_again(
    limiter: RateLimiter, clock: Clock
) -> None:
    for _ in range(20):  # 20 in a second
        one(limiter, response())
        clock.sleep(0.05)
    one(limiter, response(429, retry_after="1"))
    clock.sleep(1)

    def pace() -> int:
        """Requests in the next five seconds."""
        until, count = clock.now + 5, 0
        while clock.now < until:
            if (wait := limiter.reserve(GROUP)) > 0:
                clock.sleep(wait)
                continue
            limiter.record_response(GROUP, response())
            count += 1
        return count

    first, second, third = pace(), pace(), pace()
    assert 80 <= first <= 95
    assert first < second < third <= 120


def test_as_long_as_nothing_is_known_requests_start_gently_and_soon_all_at_once(limiter: RateLimiter) -> None:
    starts = []
    for _ in range(7):
        starts.append(free(limiter))
        for _ in range(starts[-1]):
            limiter.record_response(GROUP, response())
    assert starts == [4, 6, 9, 14, 21, 31, 47]


Tells = Callable[[int, int, float, int], dict[str, str]]


def header(status: int, remaining: int, reset: float, limit: int) -> dict[str, str]:
    told = {"ratelimit": f"limit={limit}, remaining={remaining}, reset={reset:.3f}"}
    return told | ({"retry_after": str(math.ceil(reset))} if status == 429 else {})


def header_of_whole_seconds(status: int, remaining: int, reset: float, limit: int) -> dict[str, str]:
    return header(status, remaining, math.ceil(reset), limit)


def header_on_refusals(status: int, remaining: int, reset: float, limit: int) -> dict[str, str]:
    return header(status, remaining, reset, limit) if status == 429 else {}


def retry_after_only(status: int, remaining: int, reset: float, limit: int) -> dict[str, str]:
    return {"retry_after": str(math.ceil(reset))} if status == 429 else {}


def nothing(status: int, remaining: int, reset: float, limit: int) -> dict[str, str]:
    return {}


@pytest.mark.parametrize("workers", [10, 20, 40])
@pytest.mark.parametrize("tells", [header, header_of_whole_seconds, header_on_refusals, retry_after_only, nothing])
def test_twenty_a_second_are_met_without_being_hit(tells: Tells, workers: int) -> None:
    for phase in (0.0, 0.37, 0.77):
        figures = simulate(FixedWindows(20, phase, tells), workers=workers, successes=1200, latency=0.05)
        assert figures.answers - figures.refused == 1200
        assert figures.refused_share <= 1 / 50
        assert figures.times_the_limit <= 1.35
        if tells in {header, header_of_whole_seconds}:
            assert figures.refused == 0
            assert figures.times_the_limit <= 1.1


def test_without_any_limit_nothing_is_held_back_for_long() -> None:
    figures = simulate(FixedWindows(10**6, 0, nothing), workers=20, successes=2000, latency=0.05)
    assert figures.refused == 0
    assert figures.seconds <= 1.1 * 2000 / 20 * 0.05

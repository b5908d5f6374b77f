"""The rate limiter lets workers send requests about as fast as the limit allows, and few of them get a 429."""

import heapq
import itertools
import math
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from requests.structures import CaseInsensitiveDict

from integration_tests.close_api import RateLimit, Settings
from integration_tests.close_api.ratelimit import RateLimiter as Server
from source_close.api.rate_limits import RateLimiter

LIMIT = RateLimit(20, 1.0)
# What the local API says about a limit; "whole seconds" rounds its header up.
SETTINGS: dict[str, dict[str, Any]] = {
    "header": {},
    "header of whole seconds": {},
    "header on 429s": {"rate_limit_header": False, "rate_limit_reply_retry_after": False},
    "retry-after": {"rate_limit_header": False, "rate_limit_reply_header": False},
    "nothing": {
        "rate_limit_header": False,
        "rate_limit_reply_header": False,
        "rate_limit_reply_retry_after": False,
        "rate_limit_reply_body": "empty",
    },
}


class Simulation:
    """Workers that send requests to the rate limiter of the local API, on a simulated clock."""

    latency = 0.05

    def __init__(self, monkeypatch: pytest.MonkeyPatch, limit: RateLimit | None, form: str) -> None:
        self.clock = 1000.0
        for module in ("integration_tests.close_api.ratelimit", "source_close.api.rate_limits"):
            monkeypatch.setattr(f"{module}.time", SimpleNamespace(monotonic=self.now))
        self.form = form
        self.settings = Settings(rate_limit=limit, **SETTINGS[form])
        self.server = Server(self.settings)
        self.limiter = RateLimiter()
        self.responses = 0
        self.refused = 0
        self.number = itertools.count()
        self.events: list[tuple[float, int, str, requests.Response | None]] = []

    def now(self) -> float:
        return self.clock

    def respond(self) -> requests.Response:
        standing, refusal = self.server.admit("/activity/")
        response = requests.Response()
        response.status_code = refusal.status if refusal else 200
        headers = dict(refusal.headers) if refusal else {}
        if standing and not refusal and self.settings.rate_limit_header:
            headers["ratelimit"] = standing.header()
        if self.form == "header of whole seconds":
            quota, _, reset = headers["ratelimit"].rpartition("=")
            headers["ratelimit"] = f"{quota}={math.ceil(float(reset))}"
        response.headers = CaseInsensitiveDict(headers)
        return response

    def schedule(self, delay: float, event: str, response: requests.Response | None = None) -> None:
        heapq.heappush(self.events, (self.clock + delay, next(self.number), event, response))

    def run(self, workers: int, successes: int) -> float:
        """Send requests until `successes` of them have got a 200; return the seconds that it took."""
        began = self.clock
        sent = 0  # without the refused
        for _ in range(workers):
            self.schedule(0, "request")
        while self.responses - self.refused < successes:
            self.clock, _, event, response = heapq.heappop(self.events)
            if event == "arrive":
                self.schedule(self.latency / 2, "return", self.respond())
            elif response is not None:
                self.limiter.record_response("GET /activity/", response)
                self.responses += 1
                if response.status_code != 200:
                    self.refused += 1
                    sent -= 1
                self.schedule(0, "request")
            elif sent < successes:
                wait = self.limiter.reserve("GET /activity/")
                if wait > 0:
                    self.schedule(wait, "request")
                else:
                    sent += 1
                    self.schedule(self.latency / 2, "arrive")
        return self.clock - began


@pytest.mark.parametrize("workers", [10, 20, 40])
@pytest.mark.parametrize("form", SETTINGS)
def test_a_limit_of_20_per_second_is_used_with_few_429s(
    form: str, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for phase in (0.0, 0.37, 0.77):
        simulation = Simulation(monkeypatch, LIMIT, form)
        simulation.server.admit("/activity/")  # another program's request begins the first window
        simulation.clock += phase
        seconds = simulation.run(workers, successes=1200)
        assert simulation.refused / simulation.responses <= 1 / 50
        assert seconds <= 1.35 * 1200 / LIMIT.limit
        if form in {"header", "header of whole seconds"}:
            assert simulation.refused == 0
            assert seconds <= 1.1 * 1200 / LIMIT.limit


def test_requests_are_hardly_delayed_without_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    simulation = Simulation(monkeypatch, None, "nothing")
    seconds = simulation.run(20, successes=2000)
    assert simulation.refused == 0
    assert seconds <= 1.1 * 2000 / 20 * simulation.latency

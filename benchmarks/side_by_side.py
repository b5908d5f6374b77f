"""Measure an account with four large streams and a rate limit for each group of endpoints."""

from collections import Counter
from collections.abc import Callable

from integration_tests.close_api import RateLimit, Settings

from . import connector
from .compare import run
from .figures import RunFigures
from .server import Server, Sizes

REQUESTS_PER_SECOND = 20
_LATENCY = 0.05
# About 300 pages for each of four streams: a page has 100 activities or tasks, 50 events or 200 leads.
_BALANCED = Sizes(activities=32_500, leads=60_000, tasks=30_000, events=15_000, custom_fields=5)


def measure_side_by_side(say: Callable[[str], None]) -> RunFigures:
    """Measure a full read of the account."""
    say("Starting the local Close API and generating four large streams")
    with Server(_BALANCED) as server:
        command = connector.prepare(server)
        server.change(rate_limit=RateLimit(REQUESTS_PER_SECOND, 1.0), max_limit=Settings().max_limit | {"task": 100})
        say(f"Reading with {connector.NAME}, {REQUESTS_PER_SECOND} requests per second for each group")
        return run(connector.NAME, command, _LATENCY, server, say)


def seconds_of_the_limit(figures: RunFigures) -> float:
    """Return how long the rate limit makes the largest group of endpoints take."""
    requests = Counter[str]()
    for path, statuses in figures.requests["by_path"].items():
        requests[path.strip("/").split("/")[0]] += sum(statuses.values())
    return max(requests.values()) / REQUESTS_PER_SECOND

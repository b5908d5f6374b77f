"""Measure an incremental read without new records, and the time to start Python and to import the CDK."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import connector
from .paths import BUILD
from .processes import Used, measure_or_stop
from .server import Server, Sizes

_TRIES = 3
_STARTS = {"python -c pass": "pass", "import airbyte_cdk": "import airbyte_cdk"}


@dataclass(frozen=True)
class SecondRead:
    """The fastest of a few incremental reads and starts; times are in seconds."""

    wall_seconds: float
    requests: dict[str, Any]
    starts: dict[str, float]


def measure_second_read(sizes: Sizes, say: Callable[[str], None]) -> SecondRead:
    """Read everything, and then measure reads from the saved state."""
    say("Starting the local Close API and generating its data")
    with Server(sizes) as server:
        command = connector.prepare(server)
        first = BUILD / "first.jsonl"
        output = BUILD / "second.jsonl"
        say("Reading everything once")
        measure_or_stop(command, first)
        command = connector.continued(command, first)
        first.unlink()
        say("Reading again from the saved state")
        server.take_requests()
        tries = []
        for _ in range(_TRIES):
            used = measure_or_stop(command, output)
            tries.append((used, server.take_requests()))
        output.unlink()
    best, requests = min(tries, key=lambda one: one[0].wall_seconds)
    starts = {name: _best_start(code).wall_seconds for name, code in _STARTS.items()}
    return SecondRead(best.wall_seconds, requests, starts)


def _best_start(code: str) -> Used:
    output = BUILD / "start.txt"
    runs = [measure_or_stop([sys.executable, "-c", code], output) for _ in range(_TRIES)]
    return min(runs, key=lambda used: used.wall_seconds)

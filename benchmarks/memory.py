"""Measure the peak memory of the connector with a large account."""

from collections.abc import Callable

from . import connector
from .compare import run
from .figures import RunFigures
from .server import Server, Sizes

LARGEST_MEGABYTES = 230
# An activity of the local API is about 1 kB: this number gives 400 MB, as much as 250,000 activities of 1.6 kB.
_LARGE = Sizes(activities=440_000, leads=100, tasks=100, events=100, custom_fields=5)


def measure_memory(say: Callable[[str], None]) -> RunFigures:
    """Measure a read of 400 MB of activities."""
    say(f"Starting the local Close API and generating {_LARGE.activities:,} activities")
    with Server(_LARGE) as server:
        command = connector.prepare(server)
        say(f"Reading with {connector.NAME}")
        return run(connector.NAME, command, 0.0, server, say)

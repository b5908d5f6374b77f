"""The connector's peak memory on a large account."""

from collections.abc import Callable

from . import connector
from .compare import run
from .figures import RunFigures
from .server import Server, Sizes

LARGEST_MEGABYTES = 256
# Local activities are about 1 kB: so many hold the 400 MB that 250,000 of 1.6 kB do.
_LARGE = Sizes(activities=440_000, leads=100, tasks=100, events=100, custom_fields=5)


def measure_memory(say: Callable[[str], None]) -> RunFigures:
    """Read 400 MB of activities."""
    say(f"Starting the local Close API and making {_LARGE.activities:,} activities")
    with Server(_LARGE) as server:
        command = connector.prepare(server)
        say(f"Reading with {connector.NAME}")
        return run(connector.NAME, command, 0.0, server, say)

"""Replaces the clocks of the connector in the process of a soak's read."""

import sys
import time
from datetime import timedelta
from pathlib import Path

from integration_tests.soak.clock import SharedClock

# Waits are that much shorter, and as much time passes for the connector as if they were not.
FASTER = 100


def follow(path: Path, skew: float) -> None:
    """Set the clocks of the source `skew` seconds ahead of the clock that the server shares in a file."""
    monotonic = time.monotonic
    time.monotonic = lambda: monotonic() * FASTER
    clock = SharedClock(path)
    ahead = timedelta(seconds=skew)
    for name, module in list(sys.modules.items()):
        if name.startswith("source_close") and hasattr(module, "utc_now"):
            setattr(module, "utc_now", lambda: clock.now() + ahead)  # noqa: B010 - mypy does not know this attribute

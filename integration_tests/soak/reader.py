"""Runs the connector in a process forked after the imports, with waits that are a hundred times shorter.

The code is the connector's own. `_adapt` replaces clocks, sleeping, and sizes that would need more data than a soak run
has.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from integration_tests.harness.clock import SharedClock
from integration_tests.harness.forked import send_output_to
from integration_tests.harness.sizes import Sizes, replace_sizes
from source_close import config as _config  # noqa: F401 - its clock is replaced below
from source_close import run

_FASTER = 100


@dataclass(frozen=True)
class Reading:
    """The input of a read; `skew` is how many seconds its clock is ahead of the server's."""

    config: dict[str, Any]
    catalog: dict[str, Any]
    state: list[dict[str, Any]] | None
    clock: Path
    skew: float
    sizes: Sizes


def read(reading: Reading, output: Connection) -> None:
    """Run `source-close read`; send what it prints to `output`."""
    send_output_to(output)
    _adapt(reading)
    arguments = ["read"]
    with tempfile.TemporaryDirectory() as folder:
        for name in ("config", "catalog", "state"):
            content = getattr(reading, name)
            if content is not None:
                path = Path(folder) / f"{name}.json"
                path.write_text(json.dumps(content))
                arguments += [f"--{name}", str(path)]
        run.main(arguments)
    sys.stdout.flush()


def _adapt(reading: Reading) -> None:
    sleep, monotonic = time.sleep, time.monotonic

    def sleep_less(seconds: Any) -> None:
        sleep(seconds / _FASTER)

    time.sleep = sleep_less
    time.monotonic = lambda: monotonic() * _FASTER
    clock, skew = SharedClock(reading.clock), timedelta(seconds=reading.skew)
    for name, module in list(sys.modules.items()):
        if name.startswith("source_close") and hasattr(module, "utc_now"):
            setattr(module, "utc_now", lambda: clock.now() + skew)  # noqa: B010 - mypy does not know this attribute
    replace_sizes(reading.sizes)

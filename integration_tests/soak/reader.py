"""Runs the connector in a process forked after the imports, with waits that are a hundred times shorter.

The code is the connector's own. `_adapt` replaces clocks, sleeping, and sizes that would need more data than a soak run
has.
"""

from __future__ import annotations

import json
import mmap
import struct
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from integration_tests.harness.forked import send_output_to
from source_close import config as _config  # noqa: F401 - its clock is replaced below
from source_close import run, source
from source_close.api import sync
from source_close.source import load_manifest

_FASTER = 100
_SIZE = struct.calcsize("d")


class SharedClock:
    """The real time plus an offset in a file that several processes share."""

    def __init__(self, path: Path) -> None:
        self._path = path
        if not path.exists():
            path.write_bytes(bytes(_SIZE))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _SIZE)

    def now(self) -> datetime:
        """Return the current time in UTC."""
        return datetime.now(timezone.utc) + timedelta(seconds=self._offset())

    def advance(self, seconds: float) -> None:
        """Move the clock forward."""
        struct.pack_into("d", self._memory, 0, self._offset() + seconds)

    def _offset(self) -> float:
        offset: float = struct.unpack_from("d", self._memory, 0)[0]
        return offset


@dataclass(frozen=True)
class Reading:
    """The input of a read; `skew` is how many seconds its clock is ahead of the server's."""

    config: dict[str, Any]
    catalog: dict[str, Any]
    state: list[dict[str, Any]] | None
    clock: Path
    skew: float
    page_sizes: dict[int, int]
    rows_per_chain: int


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

    class SkewedDatetime(datetime):
        """The clock that is compared with the `Date` header of a response, which has the real time."""

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + skew

    vars(sync)["datetime"] = SkewedDatetime
    sizes: dict[str, Any] = {"rows_per_chain": {10_000: reading.rows_per_chain}, "page_size": reading.page_sizes}
    sized = _with_sizes(load_manifest(), sizes)
    source.load_manifest = lambda: sized


def _with_sizes(node: Any, sizes: dict[str, dict[Any, Any]]) -> Any:
    if isinstance(node, dict):
        return {
            key: sizes[key].get(value, value) if key in sizes and isinstance(value, int) else _with_sizes(value, sizes)
            for key, value in node.items()
        }
    return [_with_sizes(one, sizes) for one in node] if isinstance(node, list) else node

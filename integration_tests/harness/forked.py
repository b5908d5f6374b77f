"""Runs the connector in a process forked after the imports: it starts ten times as fast, and its clock can be set."""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path
from threading import Lock, Timer
from typing import Any

import pytest
import time_machine

from integration_tests.harness.clock import SharedClock
from integration_tests.harness.running import PROJECT, Connector, Result, parse_messages
from integration_tests.harness.sizes import Sizes, replace_sizes
from source_close import run, source
from source_close.api import sync

_TIMEOUT_SECONDS = 120.0
_PAUSE_SECONDS = 0.01


@dataclass
class ForkedConnector(Connector):
    """The connector as `source-close` runs it, without the start of the interpreter and the loading of the manifest.

    `now` returns the time at which the process starts; None is the real time. `retry_seconds` is how long the connector
    retries a request; None is its default. `faster` is the factor by which waits are shorter. With `skips_waits`, waits
    take no time, and this clock and the connector's clocks advance by the skipped seconds. `sizes` are the sizes of the
    manifest to replace, such as `{"page_size": {100: 10}}`, for tests that would need more data otherwise. `adapt` is
    called in the process before the command. With `interrupt_after`, the process gets SIGINT after that many seconds.
    """

    now: Callable[[], datetime] | None = None
    retry_seconds: float | None = None
    faster: float = 1.0
    skips_waits: SharedClock | None = None
    sizes: Sizes = field(default_factory=dict)
    adapt: Callable[[], None] | None = None
    interrupt_after: float | None = None

    def run(self, *arguments: str, kill_after: int | None = None) -> Result:
        """Run the command with these arguments."""
        context = _context()
        reader, writer = context.Pipe(duplex=False)
        conditions = _Conditions(
            environment=self.environment,
            now=self.now() if self.now else None,
            faster=self.faster,
            clock=self.skips_waits.path if self.skips_waits else None,
            sizes=self.sizes,
            retry_seconds=self.retry_seconds,
            adapt=self.adapt,
        )
        process = context.Process(target=_run, args=(arguments, writer, conditions), daemon=True)
        process.start()
        writer.close()
        guard = Timer(_TIMEOUT_SECONDS, process.kill)
        guard.start()
        interrupt = Timer(self.interrupt_after or _TIMEOUT_SECONDS, _interrupt, (process.pid,))
        interrupt.start()
        lines: list[bytes] = []
        with os.fdopen(os.dup(reader.fileno()), "rb") as output:
            for line in output:
                lines.append(line)
                if kill_after is not None and len(lines) >= kill_after:
                    process.kill()
                    break
        reader.close()
        process.join()
        guard.cancel()
        interrupt.cancel()
        assert process.exitcode is not None
        return Result(process.exitcode, list(parse_messages(lines)), b"".join(lines).decode())


def _interrupt(pid: int) -> None:
    with suppress(ProcessLookupError):  # it may have just ended
        os.kill(pid, signal.SIGINT)


@cache
def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["integration_tests.harness.forked_warm"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(PROJECT))  # where the fork server finds the module
        forkserver.ensure_running()
    return context


def _send_output_to(output: Connection) -> None:
    """Redirect standard output and standard error of this process to `output`."""
    os.dup2(output.fileno(), 1)
    os.dup2(output.fileno(), 2)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - open until the process exits
    vars(sys)["__stdout__"] = sys.stdout


@dataclass(frozen=True)
class _Conditions:
    """What differs in the process from a run of the command."""

    environment: dict[str, str]
    now: datetime | None
    faster: float
    clock: Path | None
    sizes: Sizes
    retry_seconds: float | None
    adapt: Callable[[], None] | None


def _run(arguments: tuple[str, ...], output: Connection, conditions: _Conditions) -> None:
    _send_output_to(output)
    os.environ.update(conditions.environment)
    replace_sizes(conditions.sizes)
    if conditions.retry_seconds is not None:
        vars(sync)["READ_RETRY_SECONDS"] = conditions.retry_seconds
        vars(source)["USER_WAITS_SECONDS"] = conditions.retry_seconds
    if conditions.clock is not None:
        _skip_waits(SharedClock(conditions.clock))
    else:
        sleep = time.sleep

        def sleep_less(seconds: Any) -> None:
            sleep(seconds / conditions.faster)

        time.sleep = sleep_less
        if conditions.now is not None:
            time_machine.travel(conditions.now, tick=True).start()
    if conditions.adapt is not None:
        conditions.adapt()
    run.main(arguments)


def _skip_waits(clock: SharedClock) -> None:
    lock, sleep, monotonic, skipped = Lock(), time.sleep, time.monotonic, 0.0
    day = time_machine.travel(clock.now(), tick=True).start()

    def skip(seconds: Any) -> None:
        nonlocal skipped
        with lock:
            skipped += seconds
            clock.advance(seconds)
            day.shift(seconds)
        sleep(min(seconds, _PAUSE_SECONDS))  # without a pause, a thread that polls another would skip hours

    time.sleep, time.monotonic = skip, lambda: monotonic() + skipped

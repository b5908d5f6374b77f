"""Runs the connector in a process forked after the imports: it starts ten times as fast, and its clock can be set."""

import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from threading import Timer
from typing import Any

import pytest
import time_machine

from integration_tests.harness.running import PROJECT, Connector, Result
from source_close import __main__, source

_TIMEOUT_SECONDS = 120.0
# The replacements of each size of the manifest by its name, such as `page_size`.
Sizes = dict[str, dict[int, int]]


@dataclass
class ForkedConnector(Connector):
    """The connector as `source-close` runs it, without the start of the interpreter and the loading of the manifest.

    `now` is the time at which the process starts; None is the real time. `retry_seconds` is how long the connector
    retries a request; None is its default. `faster` is the factor by which waits are shorter. `sizes` are the sizes of
    the manifest to replace, such as `{"page_size": {100: 10}}`, to test with less data. `adapt` is called in the
    process before the command. The process gets SIGKILL once it has printed `kill_after` lines, and SIGTERM after
    `interrupt_after` seconds.
    """

    now: datetime | None = None
    retry_seconds: float | None = None
    faster: float = 1.0
    sizes: Sizes = field(default_factory=dict)
    adapt: Callable[[], None] | None = None
    kill_after: int | None = None
    interrupt_after: float | None = None

    def run(self, *arguments: str) -> Result:
        context = _context()
        reader, writer = context.Pipe(duplex=False)
        process = context.Process(target=_run, args=(arguments, writer, self), daemon=True)
        process.start()
        writer.close()
        guard = Timer(_TIMEOUT_SECONDS, process.kill)
        guard.start()
        interrupt = Timer(self.interrupt_after or _TIMEOUT_SECONDS, process.terminate)
        interrupt.start()
        lines: list[bytes] = []
        with os.fdopen(os.dup(reader.fileno()), "rb") as output:
            for line in output:
                lines.append(line)
                if len(lines) == self.kill_after:
                    process.kill()
                    break
        reader.close()
        process.join()
        guard.cancel()
        interrupt.cancel()
        assert process.exitcode is not None
        return Result(process.exitcode, b"".join(lines).decode())


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


def _run(arguments: tuple[str, ...], output: Connection, connector: ForkedConnector) -> None:
    _send_output_to(output)
    os.environ.update(connector.environment)
    if connector.sizes:
        replaced = _with_sizes(source.load_manifest(), connector.sizes)
        source.load_manifest = lambda: replaced
    if connector.retry_seconds is not None:
        vars(source)["READ_RETRY_SECONDS"] = connector.retry_seconds
        vars(source)["USER_WAITS_SECONDS"] = connector.retry_seconds
    sleep = time.sleep

    def sleep_less(seconds: Any) -> None:
        sleep(seconds / connector.faster)

    time.sleep = sleep_less
    if connector.now is not None:
        time_machine.travel(connector.now, tick=True).start()
    if connector.adapt is not None:
        connector.adapt()
    __main__.main(arguments)


def _with_sizes(node: Any, sizes: Sizes) -> Any:
    if isinstance(node, list):
        return [_with_sizes(one, sizes) for one in node]
    if not isinstance(node, dict):
        return node
    replaced: dict[str, Any] = {}
    for name, value in node.items():
        if name in sizes and isinstance(value, int):
            replaced[name] = sizes[name].get(value, value)
        else:
            replaced[name] = _with_sizes(value, sizes)
    return replaced

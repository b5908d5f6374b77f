"""Runs the connector in a process that was forked after the imports: in a tenth of the time, and at any date."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
import time_machine
from airbyte_cdk.sources.declarative import concurrent_declarative_source as cdk

from integration_tests.running import Connector, Result, _messages
from source_close import run, source
from source_close.source import SourceClose

_HANGS_AFTER_SECONDS = 120.0
_PROJECT = Path(__file__).resolve().parent.parent


@dataclass
class ForkedConnector(Connector):
    """The connector as `source-close` runs it, but for the start of the interpreter and the reading of the manifest.

    `now` tells at which moment the process is to begin; None is the real one. `retry_seconds` is how long a request
    that fails is tried again; None leaves that to the connector.
    """

    now: Callable[[], datetime] | None = None
    retry_seconds: float | None = None

    def run(self, *arguments: str, kill_after: int | None = None) -> Result:
        """Run the command with these arguments."""
        context = _context()
        reader, writer = context.Pipe(duplex=False)
        now = self.now() if self.now else None
        process = context.Process(target=_run, args=(arguments, writer, now, self.retry_seconds), daemon=True)
        process.start()
        writer.close()
        guard = Timer(_HANGS_AFTER_SECONDS, process.kill)
        guard.start()
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
        assert process.exitcode is not None
        return Result(process.exitcode, list(_messages(lines)), b"".join(lines).decode())


@cache
def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["integration_tests.forked_warm"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(_PROJECT))  # where the process that forks finds the module
        forkserver.ensure_running()
    return context


@cache
def resolved_manifest() -> dict[str, Any]:
    """The manifest as the CDK resolves it, which takes half a second."""
    manifest: dict[str, Any] = SourceClose()._source_config
    return manifest


def _run(arguments: tuple[str, ...], output: Connection, now: datetime | None, retry_seconds: float | None) -> None:
    resolved = resolved_manifest()
    os.dup2(output.fileno(), 1)
    os.dup2(output.fileno(), 2)
    source.load_manifest = lambda: resolved
    cdk.get_declarative_component_schema = dict
    SourceClose._pre_process_manifest = lambda self, manifest: resolved  # type: ignore[method-assign]
    SourceClose._validate_source = lambda self: None  # type: ignore[method-assign]
    if retry_seconds is not None:
        vars(source)["RETRY_SECONDS"] = retry_seconds
    if now is not None:
        time_machine.travel(now, tick=True).start()
    run.main(arguments)

"""The process of a command: its memory, threads and signals, and how it ends early."""

import ctypes
import gc
import io
import os
import signal
import sys
from contextlib import suppress
from typing import Any, NoReturn

_M_ARENA_MAX = -8  # of mallopt, as in glibc's malloc.h


def prepare() -> None:
    """Set up the process, before the CDK is imported, which takes a second."""
    _tune_memory_and_threads()
    _set_signal_handlers()
    _set_up_output()
    os.environ["NETRC"] = os.devnull  # requests would use its login when it follows a redirect


def _tune_memory_and_threads() -> None:
    # Records have no reference cycles, so ``run`` collects garbage seldom, and in the main thread:
    # before Python 3.11.8, a thread that parses a template can fail if garbage is collected in it.
    gc.disable()
    # With the default of 0.005 s, a quarter of the time goes into changing between the workers.
    sys.setswitchinterval(0.05)
    # Glibc gives each thread memory of its own, so that a read takes a third more memory. Musl does
    # not, and lacks the function.
    if sys.platform == "linux":
        with suppress(AttributeError):
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)


def _set_signal_handlers() -> None:
    signal.signal(signal.SIGINT, lambda *_: _end_early("interrupted"))
    # SIGTERM ends a process without a handler, unless it is the first one of a container. The code
    # has to be that of the signal, as PyAirbyte takes another one for a failure.
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))


def _set_up_output() -> None:
    if sys.stdout is None:
        _end_early("standard output is closed")
    # A write could lose a part if the output is non-blocking or, with PYTHONUNBUFFERED, which
    # removes the buffer, if the process is paused meanwhile.
    if sys.platform != "win32":  # where an output blocks, and Python can't set that of a console
        os.set_blocking(sys.stdout.fileno(), True)
    buffer = io.BufferedWriter(_Output(sys.stdout.fileno(), "w", closefd=False))
    sys.stdout = io.TextIOWrapper(buffer, encoding="utf-8")
    sys.__stdout__ = sys.stdout  # type: ignore[misc] # where the CDK writes


class _Output(io.FileIO):
    """Standard output. If a write fails, the process ends, whichever thread has written.

    Logging ignores such an error, although records may be in the same write.
    """

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            _end_early(str(error))


def _end_early(reason: str) -> NoReturn:
    with suppress(OSError):  # standard error may be closed as well
        os.write(2, f"Ended early: {reason}.\n".encode())
    os._exit(1)


def exit_without_workers(code: int) -> NoReturn:
    """Exit while workers wait for room in a queue that nothing empties any more."""
    sys.stdout.flush()
    os._exit(code)

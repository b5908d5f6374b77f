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
    # Records have no reference cycles, so garbage is collected seldom, and only in the main thread:
    # before Python 3.11.8, a collection in a thread that parses a template can make that fail.
    gc.disable()
    # The workers' threads often wait for each other: with the default of 0.005 s, changing between
    # them takes a quarter of the time.
    sys.setswitchinterval(0.05)
    # The C library of Linux gives threads memory of their own, which costs a third more. Musl does
    # not, and lacks the function.
    if sys.platform == "linux":
        with suppress(AttributeError):
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)


def _set_signal_handlers() -> None:
    signal.signal(signal.SIGINT, lambda *_: end_early("interrupted"))
    # This signal ends a process by itself, but not the first one of a container. PyAirbyte takes an
    # exit code other than that of the signal for a failure.
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))


def _set_up_output() -> None:
    if sys.stdout is None:
        end_early("standard output is closed")
    # Otherwise some of a write could be lost: if it may not block or, with PYTHONUNBUFFERED, if the
    # process is paused meanwhile.
    os.set_blocking(sys.stdout.fileno(), True)
    buffer = io.BufferedWriter(_Output(sys.stdout.fileno(), "w", closefd=False))
    sys.stdout = io.TextIOWrapper(buffer, encoding="utf-8")
    vars(sys)["__stdout__"] = sys.stdout  # where the CDK writes


class _Output(io.FileIO):
    """Standard output. If a write fails, the process ends, whichever thread has written.

    Logging ignores such an error, although records may be in the same write.
    """

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            end_early(str(error))


def end_early(reason: str) -> NoReturn:
    """Say why the process ends, and exit with 1."""
    with suppress(OSError):  # standard error may be closed as well
        os.write(2, f"Ended early: {reason}.\n".encode())
    os._exit(1)


def exit_at_once(code: int) -> NoReturn:
    """Exit without waiting for the workers, which wait for room in a queue that nothing empties."""
    sys.stdout.flush()
    os._exit(code)

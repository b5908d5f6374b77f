"""Starts what is measured."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from .paths import BUILD, HERE

# Would change how a program runs that its users start without them.
_UNWANTED = ("PYTHONPATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "PYTHONHOME")
_LAST_LINES = 12


@dataclass(frozen=True)
class Used:
    """What a process used, its children included."""

    exit_code: int
    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int


def stop(problem: str) -> NoReturn:
    """End the benchmark with a message."""
    sys.exit(f"make bench: {problem}")


def environment(**more: str) -> dict[str, str]:
    """The variables for a program that is measured; no proxy stands between it and the local server."""
    kept = {name: value for name, value in os.environ.items() if name not in _UNWANTED}
    return kept | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"} | more


def measure(command: list[str], output: Path, *, variables: dict[str, str] | None = None) -> Used:
    """Run a command with its output in a file, its log beside it."""
    timed = [sys.executable, "-I", "-S", str(HERE / "timed.py"), str(output), str(log_of(output)), *command]
    started = subprocess.Popen(
        timed, cwd=BUILD, env=environment(**variables or {}), stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        told, _ = started.communicate()
    finally:
        if started.poll() is None:
            # Interrupted: what is measured runs in the same session and goes with it.
            os.killpg(started.pid, signal.SIGKILL)
            started.wait()
    return Used(**json.loads(told))


def measure_or_stop(command: list[str], output: Path, *, variables: dict[str, str] | None = None) -> Used:
    """As `measure`, for what has to succeed."""
    used = measure(command, output, variables=variables)
    if used.exit_code:
        stop(f"`{Path(command[0]).name}` ended with exit code {used.exit_code}:\n{last_lines(output)}")
    return used


def log_of(output: Path) -> Path:
    """The file with what went to standard error."""
    return output.with_suffix(".log")


def last_lines(output: Path) -> str:
    """The end of a program's log, or of its output when it logged nothing."""
    text = log_of(output).read_text(errors="replace") or output.read_text(errors="replace")
    return "\n".join(line[:400] for line in text.splitlines()[-_LAST_LINES:])

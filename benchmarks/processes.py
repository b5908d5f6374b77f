"""Run and measure programs."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from .paths import BUILD, HERE

# These variables change how Python runs, and users start the programs without them.
_UNWANTED = ("PYTHONPATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "PYTHONHOME")
_LAST_LINES = 12


@dataclass(frozen=True)
class Used:
    """The resources that a process and its children used."""

    exit_code: int
    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int


def stop(problem: str) -> NoReturn:
    """Exit the benchmark with a message."""
    sys.exit(f"make bench: {problem}")


def environment(**more: str) -> dict[str, str]:
    """Return the environment variables for a measured program, which reaches the local server without a proxy."""
    kept = {name: value for name, value in os.environ.items() if name not in _UNWANTED}
    return kept | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"} | more


def measure(command: list[str], output: Path, *, variables: dict[str, str] | None = None) -> Used:
    """Run a command, write its output to a file and its log to a file next to it, and return what it used."""
    timed = [sys.executable, "-I", "-S", str(HERE / "timed.py"), str(output), str(log_of(output)), *command]
    started = subprocess.Popen(
        timed, cwd=BUILD, env=environment(**variables or {}), stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        printed, _ = started.communicate()
    finally:
        if started.poll() is None:
            # After an interruption, end the measured program too: it is in the same process group.
            os.killpg(started.pid, signal.SIGKILL)
            started.wait()
    return Used(**json.loads(printed))


def measure_or_stop(command: list[str], output: Path, *, variables: dict[str, str] | None = None) -> Used:
    """Run `measure`, and exit the benchmark if the command fails."""
    used = measure(command, output, variables=variables)
    if used.exit_code:
        stop(f"`{Path(command[0]).name}` exited with code {used.exit_code}:\n{last_lines(output)}")
    return used


def log_of(output: Path) -> Path:
    """Return the file that contains the standard error of a command."""
    return output.with_suffix(".log")


def last_lines(output: Path) -> str:
    """Return the last lines of a program's log, or of its output if the log is empty."""
    text = log_of(output).read_text(errors="replace") or output.read_text(errors="replace")
    return "\n".join(line[:400] for line in text.splitlines()[-_LAST_LINES:])

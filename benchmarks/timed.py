"""Run a command and print the resources that it used, as JSON.

This is a separate process that imports very little: the system counts the memory of the process that starts a program
in the program's peak memory, so that process must be small.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path


def main() -> None:
    """Run `timed.py OUTPUT LOG COMMAND…`: write standard output to OUTPUT and standard error to LOG."""
    output, log, *command = sys.argv[1:]
    with Path(output).open("wb") as out, Path(log).open("wb") as err:
        began = time.perf_counter()
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        _, status, used = os.wait4(child.pid, 0)
        wall = time.perf_counter() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    peak = used.ru_maxrss if sys.platform == "darwin" else used.ru_maxrss * 1024
    figures = {
        "exit_code": child.returncode,
        "wall_seconds": wall,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "peak_bytes": peak,
    }
    sys.stdout.write(json.dumps(figures))


if __name__ == "__main__":
    main()

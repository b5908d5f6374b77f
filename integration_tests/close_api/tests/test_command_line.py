"""The local API as a process."""

import signal
import subprocess
import sys
from pathlib import Path

import requests

_ROOT = Path(__file__).parents[3]


def test_the_process_prints_its_url_and_exits_on_sigterm() -> None:
    words = ["--leads", "3", "--activities", "15", "--tasks", "9", "--events", "4", "--users", "2", "--seed", "5"]
    command = [sys.executable, "-m", "integration_tests.close_api", "--port", "0", *words]
    with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        leads = requests.get(f"{url}/lead/", auth=("api_local", ""), timeout=60).json()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert leads["total_results"] == 3

"""The local API as a process."""

import signal
import subprocess
import sys
from pathlib import Path

import requests

_ROOT = Path(__file__).parents[3]


def test_the_process_prints_its_url_and_exits_on_sigterm() -> None:
    command = [sys.executable, "-m", "integration_tests.close_api", "--leads", "3", "--custom-fields", "2"]
    with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        leads = requests.get(f"{url}/lead/", auth=("api_local", ""), timeout=60)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert leads.json()["total_results"] == 3

"""The local API as a process, and the endpoints with which the benchmark controls it."""

import signal
import subprocess
import sys
from pathlib import Path

import requests

_ROOT = Path(__file__).parents[3]


def test_the_process_prints_its_url_is_controlled_and_exits_on_sigterm() -> None:
    words = ["--leads", "3", "--activities", "15", "--tasks", "9", "--events", "4", "--users", "2"]
    command = [sys.executable, "-m", "integration_tests.close_api", *words]
    with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        control = f"{url.removesuffix('/api/v1')}/control"
        wrong = requests.post(f"{control}/settings", json={"nonsense": 1}, timeout=60).status_code
        switches = {"latency": 0.2, "rate_limit": [40, 60.0], "max_limit": {"task": 5}}
        requests.post(f"{control}/settings", json=switches, timeout=60)
        leads = requests.get(f"{url}/lead/", auth=("api_local", ""), timeout=60)
        ids = requests.get(f"{control}/ids?stream=leads", timeout=60).json()["ids"]
        counts = requests.delete(f"{control}/requests", timeout=60).json()
        rest = requests.get(f"{control}/requests", timeout=60).json()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert wrong == 400
    assert leads.elapsed.total_seconds() >= 0.2
    assert leads.headers["ratelimit"].startswith("limit=40, remaining=39")
    assert sorted(ids) == sorted(row["id"] for row in leads.json()["data"])
    assert len(ids) == 3
    assert (counts["by_path"], counts["max_in_flight"]) == ({"/lead/": {"200": 1}}, 1)
    assert rest["total"] == 0

"""The commands of README.md for a shell, word for word, and the example script that makes the files for a read."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from integration_tests.close_api import Volumes
from integration_tests.harness.fixtures import MakeApi
from integration_tests.harness.running import COMMAND, KEY, PROJECT, STREAMS, parse_messages

BASH = shutil.which("bash") or "bash"
SCRIPT = PROJECT / "examples" / "catalog_and_state.py"
SHELL_BLOCKS = re.findall(r"^```sh\n(.*?)^```$", (PROJECT / "README.md").read_text(), flags=re.MULTILINE | re.DOTALL)
LINES = "".join(SHELL_BLOCKS).splitlines()
COMMANDS = [line for line in LINES if "catalog_and_state.py" in line or line.startswith("source-close read")]


def run_script(*messages: object, end: str = "") -> subprocess.CompletedProcess[str]:
    lines = [json.dumps(message, separators=(",", ":")) for message in messages]
    given = "\n".join([*lines, end])
    return subprocess.run([sys.executable, SCRIPT], input=given, capture_output=True, text=True, check=False)


def state_of(stream: str, cursor: str) -> dict[str, object]:
    return {"stream": {"stream_descriptor": {"name": stream}, "stream_state": {"date_updated": cursor}}}


def test_the_commands_of_the_readme_read_everything_and_then_continue(make_api: MakeApi, tmp_path: Path) -> None:
    api = make_api(Volumes(activities=150, leads=120, tasks=90, events=60, users=5, custom_fields=3))
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    config = {"api_key": KEY, "base_url": api.url, "start_date": "2020-01-01"}
    (secrets / "config.json").write_text(json.dumps(config))
    (tmp_path / "examples").symlink_to(SCRIPT.parent)
    environment = {**os.environ, "PATH": f"{COMMAND.parent}{os.pathsep}{os.environ['PATH']}"}
    counts = list[int]()
    assert len(COMMANDS) == 4
    for command in COMMANDS:
        subprocess.run([BASH, "-euo", "pipefail", "-c", command], cwd=tmp_path, env=environment, check=True)
        if command.startswith("source-close read"):
            messages = parse_messages((secrets / "messages.jsonl").read_text())
            counts.append(sum(message["type"] == "RECORD" for message in messages))
    states = json.loads((secrets / "state.json").read_text())
    assert sorted(state["stream"]["stream_descriptor"]["name"] for state in states) == sorted(STREAMS)
    first, both = counts
    assert 400 < first < both < 1.5 * first


def test_the_last_state_of_each_stream_counts_and_half_a_line_is_ignored() -> None:
    record = {"type": "RECORD", "record": {"stream": "leads", "data": {}}}
    last = state_of("leads", "2025-01-02")
    other = state_of("tasks", "2025-01-03")
    messages = [{"type": "STATE", "state": state} for state in (state_of("leads", "2025-01-01"), other, last)]
    result = run_script(record, *messages, end='{"type":"STATE","st')
    assert json.loads(result.stdout) == [last, other]


def test_a_stream_that_can_only_be_read_fully_is_read_fully() -> None:
    stream = {"name": "statuses", "supported_sync_modes": ["full_refresh"]}
    result = run_script({"type": "CATALOG", "catalog": {"streams": [stream]}})
    expected = {"stream": stream, "sync_mode": "full_refresh", "destination_sync_mode": "overwrite"}
    assert json.loads(result.stdout)["streams"] == [expected]


@pytest.mark.parametrize("errors", [[], ["The key is wrong."]])
def test_an_input_without_catalog_and_state_fails_with_its_errors(errors: list[str]) -> None:
    traces = [{"type": "TRACE", "trace": {"type": "ERROR", "error": {"message": message}}} for message in errors]
    result = run_script(*traces)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.splitlines() == ["The input has neither a catalog nor a state.", *errors]

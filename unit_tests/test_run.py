"""The command: exit codes, and one sentence about a file or a config that can't be used."""

import base64
import gc
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from airbyte_cdk.utils.airbyte_secrets_utils import update_secrets
from requests_mock import ANY, Mocker

from source_close.run import main
from unit_tests.syncs import KEY

CATALOG: dict[str, Any] = {
    "streams": [
        {
            "stream": {"name": "users", "json_schema": {}, "supported_sync_modes": ["full_refresh", "incremental"]},
            "sync_mode": "incremental",
            "destination_sync_mode": "append",
        }
    ]
}


pytestmark = pytest.mark.usefixtures("api")  # no address is registered, so every request fails


class Files:
    """A folder into which the tests write JSON files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, content: Any) -> str:
        path = self.folder / f"{name}.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, list[dict[str, Any]], str]:
    """Run the command, and return its exit code, its messages and the whole output."""
    update_secrets([])  # of earlier commands in this process, which would be hidden
    code = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("source_close.run.os._exit", sys.exit)  # which does not wait for workers
        try:
            main(args)
        except SystemExit as exiting:
            code = int(exiting.code or 0)
    printed = capsys.readouterr()
    return code, [json.loads(line) for line in printed.out.splitlines()], printed.out + printed.err


def the_error(messages: list[dict[str, Any]]) -> dict[str, Any]:
    (error,) = [message["trace"]["error"] for message in messages if "error" in message.get("trace", {})]
    assert isinstance(error, dict)
    return error


def test_no_thread_collects_garbage_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    gc.enable()
    assert run(capsys, "spec")[0] == 0
    assert not gc.isenabled()


@pytest.mark.parametrize(
    ("what", "content", "reason"),
    [
        ("config", None, "No such file or directory"),
        ("config", "{", "line 1 column 2"),
        ("config", "[]", "not an object"),
        ("config", "", "line 1 column 1"),
        ("catalog", None, "No such file or directory"),
        ("catalog", "not JSON", "line 1 column 1"),
        ("catalog", "[]", 'is not of type "object"'),
        ("catalog", '{"streams": [{"stream": {}}]}', '"name" is a required property'),
        ("catalog", "{}", '"streams" is a required property'),
        ("state", None, "No such file or directory"),
        ("state", '[{"type": "STREAM", ', "line 1 column 21"),
        ("state", '[{"type": "NONSENSE"}]', '"NONSENSE" is not one of'),
        ("state", '"text"', 'is not of type "object"'),
    ],
)
def test_an_unusable_file_fails_with_a_one_sentence_message(
    files: Files, capsys: pytest.CaptureFixture[str], what: str, content: str | None, reason: str
) -> None:
    paths = {
        "config": files.write("config", {"api_key": KEY}),
        "catalog": files.write("catalog", CATALOG),
        "state": files.write("state", []),
    }
    paths[what] = str(files.folder / "missing.json") if content is None else files.write(what, content)
    code, messages, printed = run(
        capsys, "read", *(part for name, path in paths.items() for part in (f"--{name}", path))
    )
    assert code == 1
    error = the_error(messages)
    assert error["failure_type"] == "config_error"
    assert error["message"].startswith(f"The {what} file {paths[what]} can't be used: ")
    assert reason in error["message"]
    assert "\n" not in error["message"]
    assert "Traceback" not in printed
    assert KEY not in printed


@pytest.mark.parametrize(
    ("command", "config", "problem"),
    [
        ("discover", {"start_date": "2024-02-30"}, "start_date is not a valid date."),
        ("read", {"start_date": "2024-02-30"}, "start_date is not a valid date."),
        ("read", {"start_date": KEY}, "start_date is not a valid date."),
        ("read", {"start_date": "2999-01-01"}, "start_date is in the future"),
        ("read", {"api_key": [KEY]}, "api_key: Input should be a valid string"),
        ("read", {"api_key": {"key": KEY}}, "api_key: Input should be a valid string"),
        ("read", {"base_url": f"ftp://{KEY}"}, "base_url"),
        ("read", {"num_workers": KEY}, "num_workers: Input should be a valid integer"),
    ],
    ids=str,
)
def test_an_invalid_config_exits_with_one_sentence_and_code_1(
    files: Files, capsys: pytest.CaptureFixture[str], command: str, config: dict[str, Any], problem: str
) -> None:
    more = ["--catalog", files.write("catalog", CATALOG)] if command == "read" else []
    given = {"api_key": KEY, **config}
    code, messages, printed = run(capsys, command, "--config", files.write("config", given), *more)
    assert code == 1
    assert the_error(messages)["message"].startswith(f"The configuration can't be used: {problem}")
    assert "Traceback" not in printed
    for secret in (KEY, KEY.removeprefix("api_"), base64.b64encode(f"{KEY}:".encode()).decode().rstrip("=")):
        assert secret not in printed


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"api_key": KEY, "num_workers": 99}, "num_workers: Input should be less than or equal to 40"),
        ({}, "api_key is missing"),
        ({"api_key": ""}, "api_key is empty."),
        ({"api_key": KEY, "start_date": "yesterday"}, "start_date is not a valid date. Write it as YYYY-MM-DD, "),
    ],
    ids=["a number too large", "an empty config", "an empty key", "no date"],
)
def test_check_with_an_invalid_config_returns_failed(
    files: Files, capsys: pytest.CaptureFixture[str], config: dict[str, Any], sentence: str
) -> None:
    code, messages, printed = run(capsys, "check", "--config", files.write("config", config))
    (status,) = [message["connectionStatus"] for message in messages if message["type"] == "CONNECTION_STATUS"]
    assert code == 0
    assert status["status"] == "FAILED"
    assert sentence in status["message"]
    assert "Traceback" not in printed
    assert KEY not in printed


def test_check_with_a_missing_config_file_returns_failed(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(files.folder / "missing.json")
    code, messages, _ = run(capsys, "check", "--config", path)
    (status,) = [message["connectionStatus"] for message in messages if message["type"] == "CONNECTION_STATUS"]
    assert (code, status["status"]) == (0, "FAILED")
    assert path in status["message"]


def test_the_message_about_a_damaged_state_says_how_to_reset_the_stream(
    files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    state = [
        {
            "type": "STREAM",
            "stream": {"stream_descriptor": {"name": "users"}, "stream_state": {"date_updated": "yesterday"}},
        }
    ]
    code, messages, printed = run(
        capsys,
        "read",
        *("--config", files.write("config", {"api_key": KEY})),
        *("--catalog", files.write("catalog", CATALOG)),
        *("--state", files.write("state", state)),
    )
    assert code == 1
    assert the_error(messages)["message"].startswith("Stream users: its saved state can't be read (")
    assert the_error(messages)["stream_descriptor"] == {"name": "users"}
    assert KEY not in printed


def test_an_error_of_a_request_is_not_taken_for_one_of_the_output(
    api: Mocker, files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    """The CDK prints an error that leaves the command as a message. One of the output can't be printed."""
    api.get(ANY, exc=OSError("Could not find a suitable TLS CA certificate bundle"))
    with pytest.raises(OSError, match="certificate bundle"):
        run(capsys, "check", "--config", files.write("config", {"api_key": KEY}))


def test_spec_needs_no_config(capsys: pytest.CaptureFixture[str]) -> None:
    code, messages, _ = run(capsys, "spec")
    assert code == 0
    (spec,) = [message["spec"] for message in messages if message["type"] == "SPEC"]
    assert spec["connectionSpecification"]["required"] == ["api_key"]


def test_a_call_without_a_command_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    code, messages, printed = run(capsys)
    assert (code, messages) == (2, [])
    assert "spec, check, discover or read" in printed

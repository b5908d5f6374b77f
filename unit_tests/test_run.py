"""The command: exit codes, and one sentence about a file or a config that can't be used."""

import gc
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from airbyte_cdk import models
from airbyte_cdk.utils.airbyte_secrets_utils import update_secrets
from requests_mock import ANY, Mocker

from source_close.__main__ import main
from unit_tests.syncs import KEY, Log, Row, catalog, warnings

CATALOG = models.ConfiguredAirbyteCatalogSerializer.dump(catalog("users"))

pytestmark = pytest.mark.usefixtures("api")  # no address is registered, so every request fails


def exit_code(args: list[str]) -> int:
    """Run the command in this process, and return the code with which it would exit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("source_close.process.os._exit", sys.exit)  # which does not wait for workers
        for name in ("_set_signal_handlers", "_set_up_output"):  # those of pytest remain
            patch.setattr(f"source_close.process.{name}", lambda: None)
        try:
            main(args)
        except SystemExit as exiting:
            return int(exiting.code or 0)
    return 0


class Command:
    """The command, with files in a temporary folder."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys
        self.messages: list[Row] = []
        self.printed = ""

    def run(self, *args: str, has_bug: bool = False, **files: Any) -> int:
        """Run the command with these files, texts or JSON, and return its exit code."""
        options = self._options(files)
        update_secrets([])  # of earlier commands in this process, which would be hidden
        code = exit_code([*args, *options])
        output = self._capsys.readouterr()
        self.messages = [json.loads(line) for line in output.out.splitlines()]
        self.printed = output.out + output.err
        assert ("Traceback" in self.printed) is has_bug
        assert KEY.removeprefix("api_") not in self.printed
        return code

    def _options(self, files: Row) -> list[str]:
        """Write the files that have a content, and return the options that name all files."""
        options = []
        for name, content in files.items():
            path = self.folder / f"{name}.json"
            options += [f"--{name}", str(path)]
            if isinstance(content, str):
                path.write_text(content)
            elif content is not None:
                path.write_text(json.dumps(content))
        return options

    @property
    def error(self) -> Row:
        [error] = [one["trace"]["error"] for one in self.messages if "error" in one.get("trace", {})]
        return dict(error)

    @property
    def status(self) -> Row:
        [status] = [one["connectionStatus"] for one in self.messages if one["type"] == "CONNECTION_STATUS"]
        return dict(status)


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(tmp_path, capsys)


def test_no_thread_collects_garbage_by_itself(command: Command) -> None:
    gc.enable()
    assert command.run("spec") == 0
    assert not gc.isenabled()


@pytest.mark.parametrize(
    ("what", "content", "reason"),
    [
        ("config", None, "No such file or directory"),
        ("config", "{", "line 1 column 2"),
        ("config", "[]", "not an object"),
        ("catalog", None, "No such file or directory"),
        ("catalog", "not JSON", "line 1 column 1"),
        ("catalog", "[]", 'is not of type "object"'),
        ("catalog", '{"streams": [{"stream": {}}]}', '"name" is a required property'),
        ("state", None, "No such file or directory"),
        ("state", '[{"type": "STREAM", ', "line 1 column 21"),
        ("state", '[{"type": "NONSENSE"}]', '"NONSENSE" is not one of'),
        ("state", f'[{{"type": "{"X" * 1_000}"}}]', "XXX. The file must contain"),
    ],
)
def test_an_unusable_file_fails_in_one_sentence(command: Command, what: str, content: str | None, reason: str) -> None:
    files = {"config": {"api_key": KEY}, "catalog": CATALOG, "state": []}
    assert command.run("read", **{**files, what: content}) == 1
    assert command.error["failure_type"] == "config_error"
    assert command.error["message"].startswith(f"The {what} file {command.folder / what}.json can't be used: ")
    assert reason in command.error["message"]
    form = "a JSON list of states" if what == "state" else "a JSON object"
    assert command.error["message"].endswith(f". The file must contain {form}; README.md shows how to make one.")
    assert ".. The" not in command.error["message"]
    assert "\n" not in command.error["message"]


@pytest.mark.parametrize("content", ["{api_key:secret}", '"secret"', "api_key: secret", KEY, f"api_key={KEY}"])
def test_a_config_or_a_key_in_place_of_a_path_is_not_shown(command: Command, content: str) -> None:
    assert command.run("check", "--config", content) == 0
    text = "--config needs the path of an existing file, not its content or a key. The file must contain "
    assert command.status["message"].startswith(text)
    assert content not in command.status["message"]


def test_an_unusable_file_is_named_although_its_name_looks_like_a_key(command: Command) -> None:
    existing = command.folder / "api_close.production.json"
    existing.write_text("{")
    for path in (str(existing), "api_config.json"):
        assert command.run("check", "--config", path) == 0
        assert command.status["message"].startswith(f"The config file {path} can't be used: ")


def test_a_config_can_come_through_a_pipe_which_can_be_read_once(api: Mocker, command: Command) -> None:
    api.get(ANY, status_code=401)
    reader, writer = os.pipe()
    os.write(writer, json.dumps({"api_key": KEY}).encode())
    os.close(writer)
    assert command.run("check", "--config", f"/dev/fd/{reader}") == 0
    assert "Close does not accept the API key" in command.status["message"]
    os.close(reader)


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"start_date": KEY}, "start_date is not a valid date."),
        ({"api_key": [KEY]}, "api_key must be a valid string"),
        ({"base_url": f"https://{KEY}@127.0.0.1:1"}, "base_url must be an address"),
        ({"num_workers": KEY}, "num_workers must be a valid integer"),
    ],
    ids=str,
)
def test_an_invalid_config_exits_with_one_sentence_and_code_1(command: Command, config: Row, problem: str) -> None:
    given = {"api_key": KEY, **config}
    assert command.run("discover", config=given) == 1
    assert command.error["message"].startswith(f"The configuration can't be used: {problem}")
    assert command.run("read", config=given, catalog=CATALOG) == 1
    assert command.error["message"].startswith(f"The configuration can't be used: {problem}")


def test_fields_of_a_config_that_are_not_used_are_named(api: Mocker, command: Command, caplog: Log) -> None:
    """They may be mistyped, and then have no effect."""
    api.get(ANY, status_code=401, text=KEY)
    command.run("check", config={"api_key": KEY, "start_date": "2024-01-01"})
    assert warnings(caplog) == []
    # At the second one, the CDK would refuse the config.
    command.run("check", config={"api_key": KEY, "startDate": "2024-01-01", "__injected_components_py": "exit()"})
    unused = "__injected_components_py, startDate"
    assert warnings(caplog)[0] == f"The config has fields that the connector does not use: {unused}."
    assert command.status["message"].startswith("Stream activities: GET /api/v1/activity/ answered 401: «****»")


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"api_key": KEY, "num_workers": 99}, "num_workers must be less than or equal to 40"),
        ({}, "api_key is missing"),
        (None, "config.json can't be used: "),
    ],
    ids=["a number too large", "an empty config", "no file"],
)
def test_check_with_an_invalid_config_returns_failed(command: Command, config: Row | None, sentence: str) -> None:
    assert command.run("check", config=config) == 0
    assert command.status["status"] == "FAILED"
    assert sentence in command.status["message"]


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_missing_file_of_certificates_is_named(command: Command, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", __file__)
    monkeypatch.setenv(name, "/missing/ca.pem")
    assert command.run("discover", config={"api_key": KEY}) == 1
    sentence = f"The file of certificates /missing/ca.pem, which {name} names, does not exist."
    assert command.error["message"] == f"{sentence} Correct the path, or remove the variable."


def test_an_error_of_a_request_is_not_taken_for_one_of_the_output(api: Mocker, command: Command) -> None:
    """The CDK prints an error that no component expects as a message. One of the output can't be printed."""
    api.get(ANY, exc=OSError("Could not find a suitable TLS CA certificate bundle"))
    assert command.run("check", has_bug=True, config={"api_key": KEY}) == 1
    assert command.error["failure_type"] == "system_error"
    assert "certificate bundle" in command.error["internal_message"]


def test_a_call_without_a_command_lists_the_commands(command: Command) -> None:
    assert command.run() == 2
    assert command.messages == []
    assert "spec, check, discover or read" in command.printed

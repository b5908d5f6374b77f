"""The command: exit codes, a sentence about a file or a config that can't be used, records as the CDK writes them."""

import base64
import gc
import io
import json
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import orjson
import pytest
from airbyte_cdk import AirbyteEntrypoint, AirbyteMessage, models
from airbyte_cdk.logger import PRINT_BUFFER
from airbyte_cdk.utils.airbyte_secrets_utils import update_secrets
from hypothesis import given, settings
from hypothesis import strategies as st
from requests_mock import ANY, Mocker

from source_close.run import CloseEntrypoint, main, record_line
from source_close.source import SourceClose
from unit_tests.syncs import KEY, LOGGER, Row, catalog, saved

CATALOG = models.ConfiguredAirbyteCatalogSerializer.dump(catalog("users"))

pytestmark = pytest.mark.usefixtures("api")  # no address is registered, so every request fails


class Command:
    """The command, with files in a temporary folder."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys
        self.messages: list[Row] = []
        self.printed = ""

    def run(self, *args: str, **files: Any) -> int:
        """Run the command with these files, texts or JSON, and return its exit code."""
        paths = {name: self.folder / f"{name}.json" for name in files}
        for name, content in files.items():
            if content is not None:
                paths[name].write_text(content if isinstance(content, str) else json.dumps(content))
        options = [part for name, path in paths.items() for part in (f"--{name}", str(path))]
        update_secrets([])  # of earlier commands in this process, which would be hidden
        code = 0
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("source_close.run.os._exit", sys.exit)  # which does not wait for workers
            try:
                main([*args, *options])
            except SystemExit as exiting:
                code = int(exiting.code or 0)
        output = self._capsys.readouterr()
        self.messages = [json.loads(line) for line in output.out.splitlines()]
        self.printed = output.out + output.err
        assert "Traceback" not in self.printed
        for secret in (KEY, KEY.removeprefix("api_"), base64.b64encode(f"{KEY}:".encode()).decode().rstrip("=")):
            assert secret not in self.printed
        return code

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
    ],
)
def test_an_unusable_file_fails_with_a_one_sentence_message(
    command: Command, what: str, content: str | None, reason: str
) -> None:
    files = {"config": {"api_key": KEY}, "catalog": CATALOG, "state": []}
    assert command.run("read", **{**files, what: content}) == 1
    assert command.error["failure_type"] == "config_error"
    assert command.error["message"].startswith(f"The {what} file {command.folder / what}.json can't be used: ")
    assert reason in command.error["message"]
    assert "\n" not in command.error["message"]


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"start_date": KEY}, "start_date is not a valid date."),
        ({"api_key": [KEY]}, "api_key: Input should be a valid string"),
        ({"base_url": f"ftp://{KEY}"}, "base_url"),
        ({"num_workers": KEY}, "num_workers: Input should be a valid integer"),
    ],
    ids=str,
)
def test_an_invalid_config_exits_with_one_sentence_and_code_1(command: Command, config: Row, problem: str) -> None:
    given = {"api_key": KEY, **config}
    assert command.run("discover", config=given) == 1
    assert command.error["message"].startswith(f"The configuration can't be used: {problem}")
    assert command.run("read", config=given, catalog=CATALOG) == 1
    assert command.error["message"].startswith(f"The configuration can't be used: {problem}")


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"api_key": KEY, "num_workers": 99}, "num_workers: Input should be less than or equal to 40"),
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
def test_a_missing_file_of_certificates_is_an_error_of_one_sentence(
    command: Command, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "/missing/ca.pem")
    assert command.run("discover", config={"api_key": KEY}) == 1
    sentence = f"The file of certificates /missing/ca.pem, which {name} names, does not exist."
    assert command.error["message"] == sentence


def test_the_message_about_a_damaged_state_says_how_to_reset_the_stream(command: Command) -> None:
    stream = {"stream_descriptor": {"name": "users"}, "stream_state": {"date_updated": "yesterday"}}
    state = [{"type": "STREAM", "stream": stream}]
    assert command.run("read", config={"api_key": KEY}, catalog=CATALOG, state=state) == 1
    assert command.error["message"].startswith("Stream users: its saved state can't be read (")
    assert command.error["stream_descriptor"] == {"name": "users"}


def test_an_error_of_a_request_is_not_taken_for_one_of_the_output(api: Mocker, command: Command) -> None:
    """The CDK prints an error that leaves the command as a message. One of the output can't be printed."""
    api.get(ANY, exc=OSError("Could not find a suitable TLS CA certificate bundle"))
    with pytest.raises(OSError, match="certificate bundle"):
        command.run("check", config={"api_key": KEY})


def test_spec_needs_no_config(command: Command) -> None:
    assert command.run("spec") == 0
    [spec] = [message["spec"] for message in command.messages if message["type"] == "SPEC"]
    assert spec["connectionSpecification"]["required"] == ["api_key"]


def test_a_call_without_a_command_lists_the_commands(command: Command) -> None:
    assert command.run() == 2
    assert command.messages == []
    assert "spec, check, discover or read" in command.printed


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def record(record_id: str, stream: str = "leads", **more: Any) -> AirbyteMessage:
    message = models.AirbyteRecordMessage(stream=stream, data={"id": record_id, **more}, emitted_at=1735689600123)
    return AirbyteMessage(type=models.Type.RECORD, record=message)


def log(text: str) -> AirbyteMessage:
    return AirbyteMessage(type=models.Type.LOG, log=models.AirbyteLogMessage(level=models.Level.INFO, message=text))


def state(stream: str) -> AirbyteMessage:
    [message] = saved(**{stream: {}})
    return AirbyteMessage(type=models.Type.STATE, state=message)


class Output(io.BytesIO):
    """An output that adds the ids of the records written to it to ``seen``."""

    def __init__(self, seen: list[Any]) -> None:
        super().__init__()
        self.seen = seen

    def write(self, written: Any) -> int:
        self.seen.extend(orjson.loads(line)["record"]["data"]["id"] for line in bytes(written).splitlines())
        return len(written)


def reading(output: io.BytesIO, *messages: AirbyteMessage, error: Exception | None = None) -> Iterator[AirbyteMessage]:
    """Read a source that emits ``messages``; yield the messages that are not written to ``output``."""

    def emitted(*_: Any) -> Iterator[AirbyteMessage]:
        yield from messages
        if error is not None:
            raise error

    made = SourceClose()
    spec = made.spec(LOGGER)
    with patch.object(made, "read", emitted):
        yield from CloseEntrypoint(made, output).read(spec, {"api_key": KEY}, None, [])


def read(*messages: AirbyteMessage, seen: list[Any], error: Exception | None = None) -> None:
    """Run ``reading`` to the end; add the ids that are written and the messages that are yielded to ``seen``."""
    seen.extend(reading(Output(seen), *messages, error=error))


def test_messages_keep_their_order() -> None:
    note, its_state, seen = log("halfway"), state("leads"), list[Any]()
    read(record("lead_1"), record("lead_2"), note, record("lead_3"), its_state, record("lead_4"), seen=seen)
    assert seen == ["lead_1", "lead_2", note, "lead_3", its_state, "lead_4"]


def test_a_state_has_the_count_of_its_records() -> None:
    first, second = state("leads"), state("leads")
    read(record("lead_1"), record("user_1", "users"), first, record("lead_2"), record("lead_3"), second, seen=[])
    assert [each.state and each.state.sourceStats for each in (first, second)] == [
        models.AirbyteStateStats(recordCount=1.0),
        models.AirbyteStateStats(recordCount=2.0),
    ]


def test_records_before_an_error_are_written() -> None:
    seen: list[Any] = []
    with pytest.raises(ZeroDivisionError):
        read(record("lead_1"), seen=seen, error=ZeroDivisionError())
    assert seen == ["lead_1"]


def test_lines_printed_between_records_stay_between_them(monkeypatch: pytest.MonkeyPatch) -> None:
    output = io.BytesIO()
    monkeypatch.setattr(sys, "__stdout__", io.TextIOWrapper(output))
    monkeypatch.setattr(PRINT_BUFFER, "last_flush_time", time.monotonic() + 60)  # so that it does not flush by itself
    for message in reading(output, record("lead_1"), state("leads"), record("lead_2")):
        PRINT_BUFFER.write(message.type.value + "\n")
    lines = [line[:16] for line in output.getvalue().decode().splitlines()]
    assert lines[-3:] == ['{"type":"RECORD"', "STATE", '{"type":"RECORD"']


def test_garbage_is_collected_while_records_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a long sync would need more and more memory, since the automatic collection is off."""
    assert not gc.isenabled()
    cycle = threading.Thread()
    vars(cycle)["itself"] = cycle
    garbage = weakref.ref(cycle)
    del cycle
    read(record("lead_1"), state("leads"), seen=[])
    assert garbage() is not None
    monkeypatch.setattr("source_close.run._OBJECTS_TO_COLLECT", 0)
    read(record("lead_2"), state("leads"), seen=[])
    assert garbage() is None


@settings(deadline=None)
@given(st.dictionaries(st.text(), VALUES, max_size=6))
def test_a_record_is_written_as_the_cdk_writes_it(data: dict[str, Any]) -> None:
    message = models.AirbyteRecordMessage(stream="leads", data=data, emitted_at=1735689600123)
    by_cdk = AirbyteEntrypoint.airbyte_message_to_string(AirbyteMessage(type=models.Type.RECORD, record=message))
    assert record_line(message) == f"{by_cdk}\n".encode()


def test_a_record_nested_too_deeply_for_orjson_is_left_to_the_cdk() -> None:
    inside, seen = dict[str, Any](), list[Any]()
    for _ in range(300):
        inside = {"in": inside}
    deep = record("lead_2", inside=inside)
    read(record("lead_1"), deep, record("lead_3"), seen=seen)
    assert seen == ["lead_1", deep, "lead_3"]

"""The command writes what the source emits, in its order, and needs no more memory the longer it runs."""

import gc
import json
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from airbyte_cdk import AirbyteMessage, AirbyteTracedException, models

from source_close import run
from source_close.source import SourceClose
from unit_tests.syncs import KEY, Row, catalog, saved

Write = Callable[[Iterator[AirbyteMessage]], list[Row]]


def record(record_id: str, stream: str = "leads", **more: Any) -> AirbyteMessage:
    message = models.AirbyteRecordMessage(stream=stream, data={"id": record_id, **more}, emitted_at=1735689600123)
    return AirbyteMessage(type=models.Type.RECORD, record=message)


def state(stream: str) -> AirbyteMessage:
    [message] = saved(**{stream: {}})
    return AirbyteMessage(type=models.Type.STATE, state=message)


def summary(line: Row) -> Any:
    """Return the id of a record, the count of a state, and otherwise the type."""
    if line["type"] == "RECORD":
        return line["record"]["data"]["id"]
    if line["type"] == "STATE":
        return line["state"]["sourceStats"]["recordCount"]
    return line["type"]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Write:
    """Return a function that runs a read of these messages, and returns the lines of the output."""
    files = {"config": {"api_key": KEY}, "catalog": models.ConfiguredAirbyteCatalogSerializer.dump(catalog("leads"))}
    options = []
    for name, content in files.items():
        path = tmp_path / name
        path.write_text(json.dumps(content))
        options += [f"--{name}", str(path)]
    monkeypatch.setattr("source_close.process.os._exit", sys.exit)

    def written(messages: Iterator[AirbyteMessage]) -> list[Row]:
        monkeypatch.setattr(SourceClose, "read", lambda *_: messages)
        with suppress(SystemExit):  # at an error
            run.main(["read", *options])
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return written


def test_messages_keep_their_order_and_a_state_has_the_count_of_its_records(write: Write) -> None:
    messages = [record("lead_1"), record("user_1", "users"), state("leads"), record("lead_2"), record("lead_3")]
    lines = write(iter([*messages, state("leads"), record("lead_4")]))
    assert [summary(line) for line in lines] == ["lead_1", "user_1", 1, "lead_2", "lead_3", 2, "lead_4"]


def failing(error: Exception) -> Iterator[AirbyteMessage]:
    yield record("lead_1")
    raise error


def test_records_before_an_error_are_written(write: Write) -> None:
    assert [summary(line) for line in write(failing(ZeroDivisionError()))][:2] == ["lead_1", "TRACE"]


def test_an_error_of_no_stream_is_written_with_its_stack_trace(write: Write) -> None:
    [_, trace] = write(failing(AirbyteTracedException("A bug")))
    assert "stack_trace" in trace["trace"]["error"]


def test_the_error_that_follows_those_of_streams_is_not_written(write: Write) -> None:
    error = AirbyteTracedException("Concurrent read failure")
    assert [summary(line) for line in write(failing(error))] == ["lead_1"]


def test_a_record_nested_too_deeply_for_orjson_is_written(write: Write) -> None:
    inside = dict[str, Any]()
    for _ in range(300):
        inside = {"in": inside}
    lines = write(iter([record("lead_1"), record("lead_2", inside=inside), record("lead_3")]))
    assert [summary(line) for line in lines] == ["lead_1", "lead_2", "lead_3"]
    assert lines[1]["record"]["data"]["inside"] == inside


def test_garbage_is_collected_while_records_are_written(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a long sync would need more and more memory, since the automatic collection is off."""
    assert not gc.isenabled()
    garbage = list[bool]()

    def messages() -> Iterator[AirbyteMessage]:
        cycle = threading.Thread()
        vars(cycle)["itself"] = cycle
        reference = weakref.ref(cycle)
        del cycle
        for number in range(2):
            yield record(f"lead_{number}")
            garbage.append(reference() is not None)
            monkeypatch.setattr("source_close.run._OBJECTS_TO_COLLECT", 0)
        yield record("lead_2")

    assert len(write(messages())) == 3
    assert garbage == [True, False]

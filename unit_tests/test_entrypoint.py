"""The command writes records without the CDK, but in the same order and form."""

import gc
import io
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import orjson
import pytest
from airbyte_cdk import AirbyteEntrypoint, AirbyteMessage, models
from airbyte_cdk.logger import PRINT_BUFFER
from hypothesis import given, settings
from hypothesis import strategies as st

from source_close.run import CloseEntrypoint, record_line
from source_close.source import SourceClose
from unit_tests.syncs import KEY, LOGGER, saved

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
@given(st.dictionaries(st.text(), VALUES.filter(lambda value: value is not None), max_size=6))
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

"""Builds one stream of the real source and reads it, with the real transport, on a clock that stands still."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import requests_mock
import time_machine
from airbyte_cdk.models import (
    AirbyteStateBlob,
    AirbyteStateMessage,
    AirbyteStateType,
    AirbyteStreamState,
    StreamDescriptor,
)
from airbyte_cdk.sources.message import InMemoryMessageRepository

from source_close.page_queue import RecordPage
from source_close.source import SourceClose
from source_close.transport import Transport
from unit_tests.rate_limited_server import Clock

API = "https://api.close.com/api/v1"
KEY = "api_0Secret0Key0.2Never3Printed"
NOW = datetime(2025, 6, 15, 12, 0, 0, tzinfo=timezone.utc)


@dataclass
class Reading:
    """What a read gave."""

    records: list[dict[str, Any]] = field(default_factory=list)
    states: list[dict[str, Any]] = field(default_factory=list)

    @property
    def ids(self) -> list[str]:
        return [record["id"] for record in self.records]


def saved(stream: str, state: dict[str, Any]) -> AirbyteStateMessage:
    """A state as Airbyte hands it in."""
    return AirbyteStateMessage(
        type=AirbyteStateType.STREAM,
        stream=AirbyteStreamState(
            stream_descriptor=StreamDescriptor(name=stream), stream_state=AirbyteStateBlob(**state)
        ),
    )


def transport(clock: Clock | None = None) -> Transport:
    """A transport that sleeps on a clock of its own."""
    clock = clock or Clock()
    return Transport(max_in_flight=20, user_agent="test", now=clock, sleep=clock.sleep)


def source(state: list[AirbyteStateMessage] | None = None, **config: Any) -> SourceClose:
    """A source with a key."""
    return SourceClose(config={"api_key": KEY, **config}, state=state)


def read(stream: str, state: dict[str, Any] | None = None, *, now: datetime = NOW, **config: Any) -> Reading:
    """Read a stream, one window after the other, as a sync that begins at ``now``."""
    with time_machine.travel(now, tick=False):
        built = source([saved(stream, state)] if state is not None else None, **config)
        built._message_repository = InMemoryMessageRepository()
        (parts,) = built._builder(transport()).build_selected({stream}, capture_changes=False)
        reading = Reading()
        for partition in parts.stream.generate_partitions():
            for page in partition.read():
                assert isinstance(page, RecordPage)
                reading.records += page.rows
            parts.cursor.close_partition(partition)
        parts.cursor.ensure_at_least_one_state_emitted()
        for message in built._message_repository.consume_queue():
            if message.state is not None and message.state.stream is not None:
                reading.states.append(vars(message.state.stream.stream_state))
        return reading


def queries(mock: requests_mock.Mocker) -> list[str]:
    """Path and query of every request, in order, without the API's own prefix."""
    return [
        request.url.removeprefix(API).replace("%3A", ":").replace("%2B", "+").replace("%2C", ",")
        for request in mock.request_history
    ]

"""The CDK's entrypoint with a shorter way for records."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

import orjson
from airbyte_cdk.entrypoint import AirbyteEntrypoint
from airbyte_cdk.logger import PRINT_BUFFER
from airbyte_cdk.models import AirbyteMessage, AirbyteRecordMessage, ConnectorSpecification
from airbyte_cdk.sources import Source

_LINES_AT_ONCE = 200


class CloseEntrypoint(AirbyteEntrypoint):
    """Writes records as bytes, many at once, and leaves all else to the built-in.

    That takes each record through a serializer for every kind of message, into text, into a buffer with four bytes a
    character, and into bytes again: a tenth of the processor time of a full read. What is written is the same.
    """

    def __init__(self, source: Source, output: BinaryIO) -> None:
        """``output`` is what the standard output writes to."""
        super().__init__(source)
        self._output = output

    def read(
        self, source_spec: ConnectorSpecification, config: Any, catalog: Any, state: list[Any]
    ) -> Iterator[AirbyteMessage]:
        """Write the records; yield every other message when those before it are written."""
        lines: list[bytes] = []
        try:
            for message in super().read(source_spec, config, catalog, state):
                line = line_of(message.record) if message.record is not None else None
                if line is not None:
                    lines.append(line)
                if line is None or len(lines) >= _LINES_AT_ONCE:
                    self._write(lines)
                if line is None:
                    yield message
        finally:
            self._write(lines)

    def _write(self, lines: list[bytes]) -> None:
        if lines:
            with PRINT_BUFFER.lock:  # other threads write their logs there
                PRINT_BUFFER.flush()
                self._output.write(b"".join(lines))
                self._output.flush()
            lines.clear()


def line_of(record: AirbyteRecordMessage) -> bytes | None:
    """A record as a line of the protocol, without null columns as ever; None if it is nested too deep for orjson."""
    data = {name: value for name, value in record.data.items() if value is not None}
    message = {"type": "RECORD", "record": {"stream": record.stream, "data": data, "emitted_at": record.emitted_at}}
    try:
        return orjson.dumps(message, option=orjson.OPT_APPEND_NEWLINE)
    except orjson.JSONEncodeError:
        return None

"""The command ``source-close``: spec, check, discover and read, as every Airbyte connector has them."""

import base64
import gc
import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, BinaryIO

import orjson
import requests
from airbyte_cdk import AirbyteEntrypoint, AirbyteMessage, AirbyteRecordMessage, AirbyteTracedException, FailureType
from airbyte_cdk.logger import PRINT_BUFFER
from airbyte_cdk.utils.airbyte_secrets_utils import add_to_secrets

from source_close.source import READ_FAILURE, SourceClose

_BYTES_AT_ONCE = 1 << 18  # with each write the readers may take the interpreter's lock


class CloseEntrypoint(AirbyteEntrypoint):
    """Writes records as bytes to ``output``; the built-in's serializer and buffers take a tenth of a read's time."""

    def __init__(self, source: SourceClose, output: BinaryIO) -> None:
        super().__init__(source)
        self._output = output

    def read(self, *args: Any) -> Iterator[AirbyteMessage]:
        """Write the records, each in its place among the other messages, and yield those."""
        lines = bytearray()
        try:
            for message in super().read(*args):
                line = record_line(message.record) if message.record is not None else None
                if line is None or len(lines) > _BYTES_AT_ONCE or PRINT_BUFFER.buffer.tell():
                    self._write(lines)
                lines += line or b""
                if line is None:
                    yield message
        finally:
            self._write(lines)

    def _write(self, lines: bytearray) -> None:
        with PRINT_BUFFER.lock:  # other threads write their logs there
            self._output.write(lines)
            lines.clear()
            PRINT_BUFFER.flush()

    @staticmethod
    def set_up_secret_filter(config: Any, connection_specification: Any) -> None:
        """Keep the key out of every message from now on, also in the form in which it travels."""
        AirbyteEntrypoint.set_up_secret_filter(config, connection_specification)
        hide(config)


def hide(config: Any) -> None:
    """Keep the key of a config out of every message from now on."""
    if isinstance(config, dict) and (key := str(config.get("api_key") or "").strip()):
        add_to_secrets(key)
        add_to_secrets(base64.b64encode(f"{key}:".encode()).decode().rstrip("="))


def record_line(record: AirbyteRecordMessage) -> bytes | None:
    """A record as a line of the protocol, without null columns as ever; None if it is nested too deep for orjson."""
    data = {name: value for name, value in record.data.items() if value is not None}
    message = {"type": "RECORD", "record": {"stream": record.stream, "data": data, "emitted_at": record.emitted_at}}
    try:
        return orjson.dumps(message, option=orjson.OPT_APPEND_NEWLINE)
    except orjson.JSONEncodeError:
        return None


def main(args: Sequence[str] | None = None) -> None:
    """Run the command; exits with 1 when something failed; a check that fails is an answer and exits with 0."""
    parsed = AirbyteEntrypoint.parse_args(list(sys.argv[1:] if args is None else args))
    if parsed.command is None:
        sys.stderr.write("Name a command: spec, check, discover or read. --help tells what they take.\n")
        sys.exit(2)
    logging.raiseExceptions = False  # where nothing can be printed, the sentence below is enough
    # Records are many objects without cycles: with the default of 700 an eighth of the time goes into looking for some.
    gc.set_threshold(50_000, 50, 100)
    signal.signal(signal.SIGINT, lambda *_: _end("interrupted"))
    os.environ["NETRC"] = os.devnull  # of which requests takes a login when it follows a redirect
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr] # it is text
    for handler in logging.getLogger().handlers:
        handler.addFilter(_without_stack_if_expected)
    try:
        config, catalog, state = (_content_of_file(parsed, what) for what in ("config", "catalog", "state"))
        entrypoint = CloseEntrypoint(SourceClose(catalog, config, state), sys.stdout.buffer)
        with PRINT_BUFFER:
            for line in entrypoint.run(parsed):
                print(f"{line}\n", end="")  # noqa: T201 - the protocol's channel; in one piece, as threads log there too
    except OSError as error:
        _end(str(error))
    except AirbyteTracedException as error:
        is_check = parsed.command == "check"
        message = error.as_connection_status_message() if is_check else error.as_sanitized_airbyte_message()
        if message and message.trace and message.trace.error and error.failure_type == FailureType.config_error:
            message.trace.error.stack_trace = None
        # Streams that failed have had their own traces; this one, a config error always, would end Airbyte's retries.
        if message and error.internal_message != READ_FAILURE:
            print(AirbyteEntrypoint.airbyte_message_to_string(message))  # noqa: T201 - the protocol's channel
        sys.exit(0 if is_check else 1)


def _end(reason: str) -> None:
    """Leave at once: Python would wait for the readers, and they for room in a queue that nobody empties any more."""
    with suppress(OSError):  # the errors may go where nobody reads any more, too
        os.write(2, f"Ended early: {reason}.\n".encode())
    os.kill(os.getpid(), signal.SIGTERM)


def _content_of_file(parsed: Any, what: str) -> Any:
    """What the file holds that is named as ``what``, None if none is; a config error if it can't be used."""
    if (path := getattr(parsed, what, None)) is None:
        return None
    try:
        content = getattr(SourceClose, f"read_{what}")(path)
    except Exception as error:  # noqa: BLE001 - the CDK's readers raise whatever their serializers do
        message = f"The {what} file {path} can't be used: {' '.join(str(error).split())[:200]}."
        raise AirbyteTracedException(message, message, FailureType.config_error) from None
    hide(content)
    return content


def _without_stack_if_expected(record: logging.LogRecord) -> bool:
    """Put the message of an error that says all into the log in place of its stack."""
    error = record.exc_info and record.exc_info[1]
    if isinstance(error, AirbyteTracedException | requests.RequestException):
        record.msg, record.args, record.exc_info = f"{record.getMessage()}: {error}", (), None
    return True

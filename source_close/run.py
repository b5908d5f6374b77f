"""The command ``source-close`` with spec, check, discover and read."""

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

_BYTES_AT_ONCE = 1 << 18  # fewer writes are faster, as each releases the interpreter lock


class CloseEntrypoint(AirbyteEntrypoint):
    """Writes records to ``output`` as bytes. ``AirbyteEntrypoint`` spends a tenth of a read on that."""

    def __init__(self, source: SourceClose, output: BinaryIO) -> None:
        super().__init__(source)
        self._output = output

    def read(self, *args: Any) -> Iterator[AirbyteMessage]:
        """Write the records, but yield those nested too deep for orjson and all other messages, in their order."""
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
        with PRINT_BUFFER.lock:  # other threads log there
            self._output.write(lines)
            lines.clear()
            PRINT_BUFFER.flush()

    @staticmethod
    def set_up_secret_filter(config: Any, connection_specification: Any) -> None:
        """Hide the key in all messages from now on, plain and as the Authorization header encodes it."""
        AirbyteEntrypoint.set_up_secret_filter(config, connection_specification)
        hide(config)


def hide(config: Any) -> None:
    """Hide the key of a config in all messages from now on."""
    if isinstance(config, dict) and (key := str(config.get("api_key") or "").strip()):
        add_to_secrets(key)
        add_to_secrets(base64.b64encode(f"{key}:".encode()).decode().rstrip("="))


def record_line(record: AirbyteRecordMessage) -> bytes | None:
    """Return a record as a protocol line without null columns; None if it is nested too deep for orjson."""
    data = {name: value for name, value in record.data.items() if value is not None}
    message = {"type": "RECORD", "record": {"stream": record.stream, "data": data, "emitted_at": record.emitted_at}}
    try:
        return orjson.dumps(message, option=orjson.OPT_APPEND_NEWLINE)
    except orjson.JSONEncodeError:
        return None


def main(args: Sequence[str] | None = None) -> None:
    """Run ``args``, by default those of the process. Exit with 1 on failure, but a failed check exits with 0."""
    parsed = AirbyteEntrypoint.parse_args(list(sys.argv[1:] if args is None else args))
    if parsed.command is None:
        sys.stderr.write("Give a command: spec, check, discover or read. --help shows their options.\n")
        sys.exit(2)
    logging.raiseExceptions = False  # if nothing can be printed, the message of _end is enough
    # Records have no reference cycles; with the default threshold of 700 the collector takes an eighth of the time.
    gc.set_threshold(50_000, 50, 100)
    signal.signal(signal.SIGINT, lambda *_: _end("interrupted"))
    os.environ["NETRC"] = os.devnull  # requests would use its login when it follows a redirect
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr] # a text stream
    for handler in logging.getLogger().handlers:
        handler.addFilter(_without_stack_if_expected)
    try:
        config, catalog, state = (_content_of_file(parsed, what) for what in ("config", "catalog", "state"))
        entrypoint = CloseEntrypoint(SourceClose(catalog, config, state), sys.stdout.buffer)
        with PRINT_BUFFER:
            for line in entrypoint.run(parsed):
                print(f"{line}\n", end="")  # noqa: T201 - the protocol's channel; one write, as threads log there too
    except OSError as error:
        _end(str(error))
    except AirbyteTracedException as error:
        is_check = parsed.command == "check"
        message = error.as_connection_status_message() if is_check else error.as_sanitized_airbyte_message()
        if message and message.trace and message.trace.error and error.failure_type == FailureType.config_error:
            message.trace.error.stack_trace = None
        # Streams that failed have emitted their errors; this one is a config error, after which Airbyte doesn't retry.
        if message and error.internal_message != READ_FAILURE:
            print(AirbyteEntrypoint.airbyte_message_to_string(message))  # noqa: T201 - the protocol's channel
        sys.exit(0 if is_check else 1)


def _end(reason: str) -> None:
    """Exit at once. A normal exit waits for the workers, and they wait for room in a queue that nothing empties."""
    with suppress(OSError):  # standard error may be closed as well
        os.write(2, f"Ended early: {reason}.\n".encode())
    os.kill(os.getpid(), signal.SIGTERM)


def _content_of_file(parsed: Any, what: str) -> Any:
    """Return the content of the file given as ``--what``, None if none is. Raise a config error if it can't be read."""
    if (path := getattr(parsed, what, None)) is None:
        return None
    try:
        content = getattr(SourceClose, f"read_{what}")(path)
    except Exception as error:  # noqa: BLE001 - the CDK's readers raise errors of many kinds
        message = f"The {what} file {path} can't be used: {' '.join(str(error).split())[:200].rstrip('.')}."
        raise AirbyteTracedException(message, message, FailureType.config_error) from None
    hide(content)
    return content


def _without_stack_if_expected(record: logging.LogRecord) -> bool:
    """Log the message of an expected error without its stack trace."""
    error = record.exc_info and record.exc_info[1]
    if isinstance(error, AirbyteTracedException | requests.RequestException):
        record.msg, record.args, record.exc_info = f"{record.getMessage()}: {error}", (), None
    return True

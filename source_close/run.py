"""The command ``source-close``: spec, check, discover and read, as every Airbyte connector has them."""

from __future__ import annotations

import base64
import gc
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
from airbyte_cdk.entrypoint import AirbyteEntrypoint
from airbyte_cdk.logger import PRINT_BUFFER
from airbyte_cdk.models import AirbyteMessage, AirbyteMessageSerializer, FailureType
from airbyte_cdk.utils.airbyte_secrets_utils import update_secrets
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from source_close.entrypoint import CloseEntrypoint
from source_close.errors import CloseApiError, without_stack
from source_close.source import SourceClose

# Records are many objects without cycles: the default of 700 has Python look for cycles at every tenth record, which
# takes an eighth of the time.
_GC_THRESHOLD = (50_000, 50, 100)
# How the CDK ends a read of which streams have failed. Each of them has had its own trace by then, with its own failure
# type; another one for all, a config error always, would keep Airbyte from trying again after an outage.
_STREAMS_HAVE_FAILED = "Concurrent read failure"


def main(args: Sequence[str] | None = None) -> None:
    """Run the command with ``args``, by default those of the process.

    Messages go to standard output, one JSON object a line. Exits with 1 when something failed; a check that fails is an
    answer and exits with 0.
    """
    given = list(sys.argv[1:] if args is None else args)
    parsed = AirbyteEntrypoint.parse_args(given)
    if parsed.command is None:
        sys.stderr.write("Name a command: spec, check, discover or read. --help tells what they take.\n")
        sys.exit(2)
    gc.set_threshold(*_GC_THRESHOLD)
    for handler in logging.getLogger().handlers:
        handler.addFilter(_without_stack_if_expected)
    try:
        _answer(_source(parsed), parsed)
    except AirbyteTracedException as error:
        status = error.as_connection_status_message() if parsed.command == "check" else None
        if status is not None:
            _print(status)
            return
        if error.internal_message != _STREAMS_HAVE_FAILED:
            trace = error.as_sanitized_airbyte_message()
            _print(without_stack(trace) if _is_expected(error) else trace)
        sys.exit(1)


def _answer(source: SourceClose, parsed: Any) -> None:
    entrypoint = CloseEntrypoint(source, sys.stdout.buffer)
    try:
        with PRINT_BUFFER:
            for line in entrypoint.run(parsed):
                print(f"{line}\n", end="")  # noqa: T201 - the protocol's channel; in one piece, as threads log there too
    finally:
        source.stop()


def _is_expected(error: BaseException | None) -> bool:
    """Whether the message says all, so that a stack would only hide it."""
    return isinstance(error, CloseApiError) or (
        isinstance(error, AirbyteTracedException) and error.failure_type == FailureType.config_error
    )


def _without_stack_if_expected(record: logging.LogRecord) -> bool:
    """Put the message of an expected error into the log in place of its stack."""
    error = record.exc_info[1] if record.exc_info else None
    if _is_expected(error):
        record.msg, record.args, record.exc_info = f"{record.getMessage()}: {error}", (), None
    return True


def _source(parsed: Any) -> SourceClose:
    """The source with what the files named on the command line hold.

    Raises:
        AirbyteTracedException: (config error) one of them can't be used; one sentence says which and why.
    """
    config_path = getattr(parsed, "config", None)
    if config_path is None:
        return SourceClose()
    config = _read_json(config_path, "config", dict)
    _hide_key(config)
    catalog_path, state_path = getattr(parsed, "catalog", None), getattr(parsed, "state", None)
    catalog = _parsed(SourceClose.read_catalog, catalog_path, "catalog", dict) if catalog_path else None
    state = _parsed(SourceClose.read_state, state_path, "state", list) if state_path else None
    return SourceClose(catalog, config, state)


def _hide_key(config: dict[str, Any]) -> None:
    """Keep the key out of every message from now on, also in the form in which it travels."""
    key = config.get("api_key")
    if isinstance(key, str) and key.strip():
        update_secrets([key.strip(), base64.b64encode(f"{key.strip()}:".encode()).decode()])


def _read_json(path: str, what: str, kind: type) -> Any:
    try:
        content = orjson.loads(Path(path).read_bytes())
    except OSError as error:
        raise _unusable(what, path, f"it can't be opened ({error.strerror})") from None
    except json.JSONDecodeError as error:
        raise _unusable(what, path, f"it is no JSON ({error.msg} in line {error.lineno})") from None
    if not isinstance(content, kind):
        raise _unusable(what, path, f"it should hold {'a list' if kind is list else 'an object'}")
    return content


def _parsed(read: Any, path: str, what: str, kind: type) -> Any:
    _read_json(path, what, kind)
    try:
        return read(path)
    except Exception as error:  # noqa: BLE001 - the CDK's readers raise whatever their serializers do
        reason = " ".join(str(error).split())[:200]
        raise _unusable(what, path, f"it does not have the form that Airbyte gives it ({reason})") from None


def _unusable(what: str, path: str, reason: str) -> AirbyteTracedException:
    message = f"The {what} file {path} can't be used: {reason}."
    return AirbyteTracedException(message=message, internal_message=message, failure_type=FailureType.config_error)


def _print(message: AirbyteMessage) -> None:
    print(orjson.dumps(AirbyteMessageSerializer.dump(message)).decode())  # noqa: T201 - the protocol's channel


if __name__ == "__main__":
    main()

"""Run a command: spec, check, discover or read."""

import gc
import logging
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import requests
from airbyte_cdk import AirbyteEntrypoint, AirbyteTracedException, FailureType
from airbyte_cdk.logger import PRINT_BUFFER

from source_close.process import exit_without_workers
from source_close.source import READ_FAILURE, SourceClose

_FLUSH_SECONDS = 0.02  # with the CDK's 0.1, a fast read takes a tenth more memory
_OBJECTS_TO_COLLECT = 200_000
_MAX_CHARACTERS = 200  # of the error of a file that can't be used
_MISSING_CERTIFICATES = (
    "The file of certificates {path}, which {name} names, does not exist. Correct the path, or "
    "remove the variable."
)
_NEEDED_CONTENT = "The file must contain {form}; README.md shows how to make one."
_FORMS = {"config": "a JSON object", "catalog": "a JSON object", "state": "a JSON list of states"}
# If a file is missing, a path with one of these is JSON, YAML or a key, and must not be shown.
_CONTENT = re.compile(r'[{"]|: |api_\w+[.]\w{10}')
_CONTENT_AS_PATH = "--{kind} needs the path of an existing file, not its content or a key."
_USAGE = "Give a command: spec, check, discover or read. --help shows their options.\n"


def _read_file(kind: str, read: Callable[[str], Any], path: str) -> Any:
    try:
        return read(path)
    except Exception as error:  # noqa: BLE001 - the CDK's readers raise errors of many kinds
        problem = " ".join(str(error).split())[:_MAX_CHARACTERS].rstrip(".")
        text = f"The {kind} file {path} can't be used: {problem}."
        if isinstance(error, OSError) and _CONTENT.search(path):
            text = _CONTENT_AS_PATH.format(kind=kind)
    message = f"{text} {_NEEDED_CONTENT.format(form=_FORMS[kind])}"
    raise AirbyteTracedException(message, message, FailureType.config_error)


class CommandSource(SourceClose):
    """The source of a command, which names the files that it can't use, and says what to do."""

    read_config = staticmethod(partial(_read_file, "config", SourceClose.read_config))
    read_catalog = staticmethod(partial(_read_file, "catalog", SourceClose.read_catalog))
    read_state = staticmethod(partial(_read_file, "state", SourceClose.read_state))


def main(args: Sequence[str] | None = None) -> None:
    """Run ``args``, by default those of the process.

    The process exits with 1 on failure, but with 0 after a check that failed.
    """
    parsed = AirbyteEntrypoint.parse_args(list(sys.argv[1:] if args is None else args))
    if parsed.command is None:
        sys.stderr.write(_USAGE)
        sys.exit(2)
    gc.freeze()  # what is imported is no garbage, and looking for it at the end takes 0.2 s
    for handler in logging.getLogger().handlers:
        handler.addFilter(_is_unexpected)
    try:
        _check_certificates()
        _print_lines(AirbyteEntrypoint(CommandSource()).run(parsed))
    except AirbyteTracedException as error:
        if error.internal_message != READ_FAILURE:  # streams that failed have emitted their errors
            _print_failure(parsed.command, error)
        exit_without_workers(0 if parsed.command == "check" else 1)
    except Exception as error:  # noqa: BLE001 - the workers would keep the process from ending
        sys.excepthook(type(error), error, error.__traceback__)  # the CDK's prints a message
        exit_without_workers(1)


def _print_lines(lines: Iterable[str]) -> None:
    PRINT_BUFFER.flush_interval = _FLUSH_SECONDS
    with PRINT_BUFFER:
        for line in lines:
            # One write for the line and its end, as threads log, too; ``print`` makes two.
            sys.stdout.write(f"{line}\n")
            if gc.get_count()[0] > _OBJECTS_TO_COLLECT:
                gc.collect()


# Raises a config error if the environment names a file of certificates that does not exist.
def _check_certificates() -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        certificates = os.environ.get(name)
        if certificates and not Path(certificates).exists():
            text = _MISSING_CERTIFICATES.format(path=certificates, name=name)
            raise AirbyteTracedException(text, text, FailureType.config_error)


def _print_failure(command: str, error: AirbyteTracedException) -> None:
    message = error.as_sanitized_airbyte_message()
    if error.failure_type != FailureType.system_error and message.trace and message.trace.error:
        message.trace.error.stack_trace = None  # the code is not the cause
    if command == "check":
        message = error.as_connection_status_message() or message
    print(AirbyteEntrypoint.airbyte_message_to_string(message))  # noqa: T201 - the output


# Whether a record is logged. Errors that the source itself emits or logs are not: the CDK would log
# them once for each window, with a stack trace.
def _is_unexpected(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, AirbyteTracedException | requests.RequestException)

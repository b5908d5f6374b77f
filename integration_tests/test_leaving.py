"""A read that nobody listens to any more ends, whatever its readers are about."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable

import pytest

from integration_tests.close_api import LocalCloseApi, Volumes
from integration_tests.running import COMMAND, STREAMS, Connector

# More than a pipe and the connector's own queue hold.
VOLUMES = Volumes(activities=8000, leads=500, tasks=2000, events=500)
ENDS_WITHIN_SECONDS = 30


@pytest.mark.parametrize("errors", [subprocess.DEVNULL, subprocess.STDOUT], ids=["output alone", "errors as well"])
@pytest.mark.parametrize("leave", [signal.SIGINT, None], ids=["interrupted", "output closed"])
def test_it_ends_soon(
    leave: signal.Signals | None,
    errors: int,
    make_api: Callable[..., LocalCloseApi],
    connect: Callable[..., Connector],
) -> None:
    connector = connect(make_api(VOLUMES), start_date="2020-01-01")
    arguments = connector.read_arguments(STREAMS, None)
    with subprocess.Popen(
        [COMMAND, *arguments], stdout=subprocess.PIPE, stderr=errors, cwd=connector.folder
    ) as process:
        assert process.stdout is not None
        while b'"RECORD"' not in process.stdout.readline():
            pass
        if leave is not None:
            process.send_signal(leave)
        process.stdout.close()
        try:
            assert process.wait(ENDS_WITHIN_SECONDS) != 0
        finally:
            process.kill()


@pytest.mark.parametrize("seconds", [0.9, 1.6])
def test_it_ends_at_once_when_it_is_interrupted_early(
    seconds: float, make_api: Callable[..., LocalCloseApi], connect: Callable[..., Connector]
) -> None:
    connector = connect(make_api(VOLUMES), start_date="2020-01-01")
    arguments = connector.read_arguments(STREAMS, None)
    with subprocess.Popen(
        [COMMAND, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=connector.folder
    ) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(seconds)
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(ENDS_WITHIN_SECONDS) != 0
        finally:
            process.kill()


@pytest.mark.parametrize("command", ["spec", "read"])
@pytest.mark.parametrize("output", ["nobody reads", "disk full"])
def test_it_ends_when_it_can_not_print(
    command: str, output: str, make_api: Callable[..., LocalCloseApi], connect: Callable[..., Connector]
) -> None:
    connector = connect(make_api(VOLUMES), start_date="2020-01-01")
    arguments = connector.read_arguments(STREAMS, None)
    asked = {"spec": ["spec"], "read": arguments}.get(command, [command, *arguments[1:3]])
    reader, writer = (
        os.pipe() if output == "nobody reads" else (os.open(os.devnull, os.O_RDONLY), os.open("/dev/full", os.O_WRONLY))
    )
    os.close(reader)
    with subprocess.Popen([COMMAND, *asked], stdout=writer, stderr=subprocess.PIPE, cwd=connector.folder) as process:
        try:
            _, errors = process.communicate(timeout=ENDS_WITHIN_SECONDS)
        finally:
            process.kill()
    os.close(writer)
    assert process.returncode != 0
    assert b"Traceback" not in errors
    assert (b"Broken pipe" if output == "nobody reads" else b"No space left on device") in errors


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_the_output_is_utf_8_whatever_the_terminal_wants(
    encoding: str, make_api: Callable[..., LocalCloseApi], connect: Callable[..., Connector]
) -> None:
    api = make_api(Volumes(users=1))
    name = "Zo\N{LATIN SMALL LETTER E WITH DIAERESIS} \N{GRINNING FACE} \N{CJK UNIFIED IDEOGRAPH-6F22}"
    api.store.add("user", first_name=name)
    api.store.add("custom_field.lead", name=name)
    connector = connect(api)
    connector.environment = {"PYTHONIOENCODING": encoding}
    read, discovered = connector.read(["users"]), connector.discover()
    assert (read.exit_code, discovered.exit_code) == (0, 0)
    assert name in [row["first_name"] for row in read.records("users")]
    assert name in discovered.output

"""The command exits soon after an interrupt, or once its output can't be written."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from integration_tests.close_api import LocalCloseApi, Volumes
from integration_tests.harness.moments import DAY, now, text
from integration_tests.harness.running import COMMAND, KEY, STREAMS, Connector, Result
from integration_tests.harness.truth import ids

# More records in one window of each stream than fit in a pipe and in the connector's queue.
VOLUMES = Volumes(activities=12_000, leads=500, tasks=2_000, events=500)
EXITS_WITHIN_SECONDS = 30


@pytest.fixture(scope="module")
def api() -> Iterator[LocalCloseApi]:
    with LocalCloseApi(VOLUMES, start=now() - 25 * DAY) as api:
        yield api


@pytest.fixture
def connector(api: LocalCloseApi, tmp_path: Path) -> Connector:
    config = {"api_key": KEY, "base_url": api.url, "start_date": text(now() - 28 * DAY)}
    return Connector(config, tmp_path)


@pytest.fixture(autouse=True)
def _heed_interrupts() -> Iterator[None]:
    """Shells start background jobs with SIGINT ignored, and processes inherit that from the tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@contextmanager
def started(connector: Connector, command: str = "read", **outputs: int) -> Iterator[subprocess.Popen[bytes]]:
    """Start `spec` or a `read` of all streams; kill it if it has not ended."""
    words = ["spec"] if command == "spec" else connector.read_arguments(STREAMS, None)
    with subprocess.Popen([COMMAND, *words], cwd=connector.folder, **outputs) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("interrupt", "errors"),
    [
        (signal.SIGINT, subprocess.DEVNULL),
        (signal.SIGTERM, subprocess.DEVNULL),
        (None, subprocess.DEVNULL),
        (None, subprocess.STDOUT),
    ],
    ids=["interrupted", "terminated", "pipe for output closed", "pipe for output and errors closed"],
)
def test_an_interrupted_or_unread_command_exits_soon(
    interrupt: signal.Signals | None, errors: int, connector: Connector
) -> None:
    with started(connector, stdout=subprocess.PIPE, stderr=errors) as process:
        assert process.stdout is not None
        assert any(b'"RECORD"' in line for line in process.stdout)
        if interrupt is None:
            process.stdout.close()
        else:
            process.send_signal(interrupt)
        process.communicate(timeout=EXITS_WITHIN_SECONDS)  # reads on after an interrupt
    # PyAirbyte ends a command by SIGTERM, and takes any other code than that of the signal for a failure.
    assert process.returncode == (-signal.SIGTERM if interrupt == signal.SIGTERM else 1)


@pytest.mark.parametrize(
    ("interrupt", "code", "printed"),
    [(signal.SIGINT, 1, "Ended early: interrupted.\n"), (signal.SIGTERM, -signal.SIGTERM, "")],
)
def test_a_command_that_is_interrupted_while_it_imports_the_cdk_exits_without_a_stack_trace(
    interrupt: signal.Signals, code: int, printed: str, tmp_path: Path
) -> None:
    slow_import = "import time\nprint('importing', flush=True)\ntime.sleep(60)\n"
    (tmp_path / "airbyte_cdk.py").write_text(slow_import)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    pipe = subprocess.PIPE
    with subprocess.Popen([COMMAND, "spec"], env=environment, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "importing\n"
        process.send_signal(interrupt)
        assert process.communicate(timeout=EXITS_WITHIN_SECONDS) == ("", printed)
        assert process.returncode == code


@pytest.mark.parametrize("command", ["spec", "read"])
def test_a_command_that_cannot_print_exits_and_names_the_cause(command: str, connector: Connector) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    with started(connector, command, stdout=full, stderr=subprocess.PIPE) as process:
        _, errors = process.communicate(timeout=EXITS_WITHIN_SECONDS)
    os.close(full)
    assert (process.returncode, errors) == (1, b"Ended early: [Errno 28] No space left on device.\n")


def test_a_log_line_that_can_not_be_written_ends_the_process_as_records_may_be_written_with_it() -> None:
    logs = "import logging, sys; logging.basicConfig(stream=sys.stdout); logging.error('One.')"
    code = f"from source_close import process; process.prepare(); {logs}"
    with open("/dev/full", "w") as full:  # noqa: PTH123 - it is no file
        ended = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, check=False)
    assert (ended.returncode, ended.stderr) == (1, b"Ended early: [Errno 28] No space left on device.\n")


def test_the_output_is_set_up_on_windows_which_cannot_set_a_console_to_block() -> None:
    as_on_windows = "import os, sys; sys.platform = 'win32'; del os.set_blocking"
    code = f"{as_on_windows}; from source_close import process; process.prepare(); print('\u00eb')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (done.stdout, done.stderr) == (b"\xc3\xab\n", b"")


def test_a_command_without_a_standard_output_says_so() -> None:
    command = ["sh", "-c", f"'{COMMAND}' spec >&-"]
    ended = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (1, "Ended early: standard output is closed.\n")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_the_output_is_utf_8_in_any_terminal_encoding(
    api: LocalCloseApi, connector: Connector, unbuffered: str
) -> None:
    name = "Zo\N{LATIN SMALL LETTER E WITH DIAERESIS} \N{GRINNING FACE} \N{CJK UNIFIED IDEOGRAPH-6F22}"
    api.store.add("custom_field.lead", name=name)
    connector.environment = {"PYTHONIOENCODING": "ascii", "PYTHONUNBUFFERED": unbuffered}
    result = connector.discover()
    assert result.exit_code == 0
    assert name in result.output


def test_a_command_that_is_paused_writes_everything_also_without_buffers(
    api: LocalCloseApi, connector: Connector
) -> None:
    """A pause cuts a write short that waits for room in the pipe, as when a container is paused; so does no waiting."""
    words = connector.read_arguments(["activities"], None)
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    output = bytearray()
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with subprocess.Popen([COMMAND, *words], env=environment, cwd=connector.folder, stdout=writer) as process:
        os.close(writer)
        while piece := os.read(reader, 1 << 18):
            output += piece
            time.sleep(0.02)  # until the pipe is full
            process.send_signal(signal.SIGSTOP)
            process.send_signal(signal.SIGCONT)
    os.close(reader)
    result = Result(process.returncode, output.decode())
    assert result.exit_code == 0
    assert set(result.ids("activities")) == ids(api, "activities", end=now())


def test_a_command_with_a_bug_exits_although_workers_wait_for_room_in_the_queue(connector: Connector) -> None:
    """The main thread fails after a few records; the workers have more than fit in the queue."""
    code = """
import queue, threading
get = queue.Queue.get
left = [500]
def get_or_fail(*args, **options):
    left[0] -= threading.current_thread() is threading.main_thread()
    if left[0] < 0:
        raise MemoryError
    return get(*args, **options)
queue.Queue.get = get_or_fail
"""
    (connector.folder / "sitecustomize.py").write_text(code)
    connector.environment = {"PYTHONPATH": str(connector.folder)}
    result = connector.read(STREAMS)
    assert result.exit_code == 1
    assert [error["failure_type"] for error in result.errors] == ["system_error"]

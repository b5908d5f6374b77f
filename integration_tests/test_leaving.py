"""A read that nobody listens to any more ends, whatever its readers are about."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable

import pytest

from integration_tests.close_api import LocalCloseApi, Volumes
from integration_tests.running import COMMAND, STREAMS, Connector

# More than a pipe and the connector's own queue hold.
VOLUMES = Volumes(activities=8000, leads=500, tasks=2000, events=500)
ENDS_WITHIN_SECONDS = 30


@pytest.mark.parametrize("leave", [signal.SIGINT, None], ids=["interrupted", "output closed"])
def test_it_ends_soon(
    leave: signal.Signals | None, make_api: Callable[..., LocalCloseApi], connect: Callable[..., Connector]
) -> None:
    connector = connect(make_api(VOLUMES), start_date="2020-01-01")
    arguments = connector.read_arguments(STREAMS, None)
    with subprocess.Popen(
        [COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=connector.folder
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

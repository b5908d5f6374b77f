"""Runs a temporary Postgres server from Debian's packages, on a free port of the loopback interface."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

import pytest

# Debian's package creates this user. A Postgres server refuses to run as root.
ACCOUNT = "postgres"
HOST = "127.0.0.1"
USER = "close"
PASSWORD = "p@ss/word of the test"
DATABASE = "postgres"  # the one that initdb creates
MISSING = "No Postgres server is installed: initdb is missing. On Debian and Ubuntu: sudo apt-get install postgresql"


def programs() -> Path:
    """Return the folder of initdb and pg_ctl of the newest version. Root installs the package if there is none."""
    apt_get = shutil.which("apt-get")
    if not _installed() and apt_get and os.geteuid() == 0:
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for words in (["update"], ["install", "--yes", "--no-install-recommends", "postgresql"]):
            subprocess.run([apt_get, "--quiet", *words], env=quiet, stdout=subprocess.DEVNULL, check=False)
    found = _installed()
    if not found:
        pytest.fail(MISSING, pytrace=False)
    return found[-1].parent


def _installed() -> list[Path]:
    return sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))


def _run(program: Path, *words: str, folder: Path) -> None:
    as_account = ["runuser", "--user", ACCOUNT, "--"] if os.geteuid() == 0 else []
    # A file instead of a pipe: the server would keep a pipe open.
    with (folder / "output").open("a+") as output:
        result = subprocess.run(
            [*as_account, str(program), *words], cwd=folder, stdout=output, stderr=output, check=False
        )
    assert result.returncode == 0, (folder / "output").read_text()[-4_000:]


@contextmanager
def postgres() -> Iterator[int]:
    """Run a server and yield its port; stop it and delete its data at the end."""
    bin_folder = programs()
    # Not in pytest's folder, which the server's user may not enter.
    folder = Path(mkdtemp(prefix="postgres-"))
    port = free_port()
    try:
        (folder / "password").write_text(PASSWORD)
        if os.geteuid() == 0:
            for path in (folder, folder / "password"):
                shutil.chown(path, ACCOUNT)
        data = ["--pgdata", str(folder / "data")]
        login = ["--username", USER, "--pwfile", str(folder / "password"), "--auth", "scram-sha-256"]
        _run(bin_folder / "initdb", *data, *login, "--encoding", "UTF8", "--no-sync", folder=folder)
        options = f"-p {port} -c listen_addresses={HOST} -c unix_socket_directories={folder} -c fsync=off"
        started = ["start", "--wait", "--log", str(folder / "log"), "--options", options]
        _run(bin_folder / "pg_ctl", *data, *started, folder=folder)
        try:
            yield port
        finally:
            _run(bin_folder / "pg_ctl", *data, "stop", "--wait", "--mode", "immediate", folder=folder)
    finally:
        shutil.rmtree(folder)


def free_port() -> int:
    """Return a port of the loopback interface on which no server listens."""
    with socket.socket() as listening:
        listening.bind((HOST, 0))
        port: int = listening.getsockname()[1]
    return port

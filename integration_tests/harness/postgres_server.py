"""Runs a temporary Postgres server from Debian's packages, on a free port of the loopback interface."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

# Debian's package creates this user. A Postgres server refuses to run as root.
ACCOUNT = "postgres"
MISSING = "No Postgres server is installed: initdb is missing. On Debian and Ubuntu: sudo apt-get install postgresql"


class NoPostgresError(Exception):
    """No Postgres server is installed, and the tests could not install it."""


@dataclass(frozen=True)
class Server:
    """The address and the login of a server; `database` is the one that initdb creates."""

    host: str
    port: int
    user: str
    password: str
    database: str = "postgres"


def programs() -> Path:
    """Return the folder of initdb and pg_ctl of the newest installed version."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    on_path = shutil.which("initdb")
    if not found and on_path is None:
        raise NoPostgresError(MISSING)
    return found[-1].parent if found else Path(on_path or "").resolve().parent


def installed_programs() -> Path:
    """Return the same folder as `programs`; install the package first if it is missing and the user is root."""
    try:
        return programs()
    except NoPostgresError:
        apt_get = shutil.which("apt-get")
        if os.geteuid() != 0 or apt_get is None:
            raise
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update"], ["install", "--yes", "--no-install-recommends", "postgresql"]):
        result = subprocess.run([apt_get, "--quiet", *words], env=quiet, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise NoPostgresError(f"{MISSING}\napt-get {words[0]} failed: {result.stderr[-1_000:]}")
    return programs()


def _run(program: Path, *words: str, folder: Path) -> None:
    as_account = ["runuser", "--user", ACCOUNT, "--"] if os.geteuid() == 0 else []
    # A file instead of a pipe: the server would keep a pipe open.
    with (folder / "output").open("a+") as output:
        result = subprocess.run(
            [*as_account, str(program), *words], cwd=folder, stdout=output, stderr=output, check=False
        )
    assert result.returncode == 0, (folder / "output").read_text()[-4_000:]


@contextmanager
def postgres() -> Iterator[Server]:
    """Run a server; stop it and delete its data at the end."""
    bin_folder = installed_programs()
    # Not in pytest's folder, which the server's user may not enter.
    folder = Path(mkdtemp(prefix="postgres-"))
    server = Server("127.0.0.1", free_port(), "close", "p@ss/word of the test")
    try:
        (folder / "password").write_text(server.password)
        if os.geteuid() == 0:
            for path in (folder, folder / "password"):
                shutil.chown(path, ACCOUNT)
        data = str(folder / "data")
        login = ["--username", server.user, "--pwfile", str(folder / "password"), "--auth", "scram-sha-256"]
        _run(bin_folder / "initdb", "--pgdata", data, *login, "--encoding", "UTF8", "--no-sync", folder=folder)
        options = f"-p {server.port} -c listen_addresses={server.host} -c unix_socket_directories={folder} -c fsync=off"
        _run(
            bin_folder / "pg_ctl",
            "start",
            "--wait",
            "--pgdata",
            data,
            "--log",
            f"{folder}/log",
            "--options",
            options,
            folder=folder,
        )
        try:
            yield server
        finally:
            _run(bin_folder / "pg_ctl", "stop", "--wait", "--pgdata", data, "--mode", "immediate", folder=folder)
    finally:
        shutil.rmtree(folder)


def free_port() -> int:
    """Return a port of the loopback interface on which no server listens."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
    return port

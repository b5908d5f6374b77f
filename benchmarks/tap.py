"""Run tap-closeio as its users do, in a separate environment."""

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from .paths import BUILD, HERE, TAP_ENVIRONMENT
from .processes import environment, measure_or_stop, stop
from .server import API_KEY, Server

NAME = "tap-closeio"
VERSION = "1.6.6"
_PYTHON = TAP_ENVIRONMENT / "bin" / "python"
_HOOK = HERE / "closeio_here.py"


def install() -> None:
    """Create the environment unless it exists.

    Both programs use the interpreter that runs the benchmark, which keeps the comparison fair. This is possible because
    the tap's pinned requests requires Python 3.10 or newer, as this project does.
    """
    if not _is_installed():
        _create()
    folder = Path(_run_code("import sysconfig; print(sysconfig.get_path('purelib'))"))
    shutil.copy(_HOOK, folder / _HOOK.name)
    (folder / "closeio_here.pth").write_text("import closeio_here\n")


def _is_installed() -> bool:
    if not _PYTHON.exists():
        return False
    same_python = _run_code("import platform; print(platform.python_version())") == sys.version.split()[0]
    return same_python and _version_of(NAME) == VERSION


def _create() -> None:
    try:
        venv.create(TAP_ENVIRONMENT, clear=True, with_pip=True)
    except subprocess.CalledProcessError:
        stop("this Python cannot create environments; on Debian and Ubuntu, run: apt install python3-venv")
    pip = [str(_PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"{NAME}=={VERSION}"]
    done = subprocess.run(pip, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # noqa: PLW1510 - checked below
    if done.returncode:
        end = "\n".join(done.stdout.splitlines()[-15:])
        stop(
            f"{NAME} {VERSION} could not be installed into {TAP_ENVIRONMENT.name}. It needs a package index that pip "
            f"can reach, and a C compiler if ciso8601 has no wheel for this Python. Output of pip:\n{end}"
        )


def _version_of(package: str) -> str:
    return _run_code(
        f"import importlib.metadata as m\ntry: print(m.version({package!r}))\nexcept m.PackageNotFoundError: print('')"
    )


def _run_code(code: str) -> str:
    done = subprocess.run([str(_PYTHON), "-c", code], env=environment(), stdout=subprocess.PIPE, check=True, text=True)
    return done.stdout.strip()


def variables(server: Server) -> dict[str, str]:
    """Return the environment variable with which the tap finds the server."""
    return {"CLOSEIO_BASE_URL": server.url}


def prepare(server: Server) -> list[str]:
    """Discover and select all streams, and return the command that reads them."""
    config, catalog, discovered = (BUILD / f"tap-{name}.json" for name in ("config", "catalog", "discovered"))
    config.write_text(json.dumps({"api_key": API_KEY, "start_date": server.start_date}))
    command = [os.fspath(TAP_ENVIRONMENT / "bin" / NAME), "--config", str(config)]
    measure_or_stop([*command, "--discover"], discovered, variables=variables(server))
    streams = json.loads(discovered.read_text())
    for stream in streams["streams"]:
        for entry in stream["metadata"]:
            if not entry["breadcrumb"]:
                entry["metadata"]["selected"] = True
    catalog.write_text(json.dumps(streams))
    return [*command, "--catalog", str(catalog)]

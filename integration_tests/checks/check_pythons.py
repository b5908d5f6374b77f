"""`make test-pythons`: the wheel and the locked dependencies on each installed Python from 3.10 to 3.13."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration_tests.close_api import Volumes
from integration_tests.harness.fixtures import MakeApi
from integration_tests.harness.moments import DAY, now, text
from integration_tests.harness.running import KEY, PROJECT, Connector
from integration_tests.harness.truth import assert_check_discover_and_read_succeed, ids

ENVIRONMENTS = PROJECT / "build" / "pythons"
VERSIONS = ("3.10", "3.11", "3.12", "3.13")


def interpreters(version: str) -> Iterator[Path]:
    """Yield the paths where a Python of this version may be: on PATH, then among the versions of pyenv."""
    for folder in os.get_exec_path():
        yield Path(folder) / f"python{version}"
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from sorted(pyenv.glob(f"versions/{version}.*/bin/python"), reverse=True)


def has_version(python: Path, version: str) -> bool:
    """Return whether the interpreter has this version; a shim of pyenv starts only if its version is active."""
    if not python.is_file():
        return False
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    result = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return result.stdout.strip() == version


@pytest.fixture(scope="module", params=VERSIONS)
def command(request: pytest.FixtureRequest) -> Path:
    """Return the path of `source-close` in an environment with the locked dependencies and the wheel."""
    version: str = request.param
    python = next((one for one in interpreters(version) if has_version(one, version)), None)
    if python is None:
        pytest.skip(f"Python {version} is not installed: not tested.")
    environment = ENVIRONMENTS / version
    subprocess.run([python, "-m", "venv", "--clear", environment], check=True)
    [wheel] = (PROJECT / "dist").glob("*.whl")
    for arguments in (["--requirement", str(PROJECT / "requirements.lock")], ["--no-deps", str(wheel)]):
        subprocess.run([environment / "bin" / "python", "-m", "pip", "install", "--quiet", *arguments], check=True)
    sys.stderr.write(f"Python {version}: {python}\n")
    return environment / "bin" / "source-close"


def test_spec_check_discover_and_two_reads_succeed(command: Path, make_api: MakeApi, tmp_path: Path) -> None:
    api = make_api(Volumes(activities=250, leads=60, tasks=120, events=80, users=9, custom_fields=6), end=now())
    config = {"api_key": KEY, "base_url": api.url, "start_date": text(now() - 400 * DAY)}
    connector = Connector(config, tmp_path, command=command)
    [spec] = connector.run("spec").of("SPEC")
    assert spec["connectionSpecification"]["required"] == ["api_key"]
    first = assert_check_discover_and_read_succeed(api, connector)
    note = api.store.add("Note", lead_id=None)["id"]
    task = next(iter(ids(api, "tasks")))
    api.store.delete(task)
    second = connector.sync(state=first.states)
    assert note in second.ids("activities")
    assert [row["id"] for row in second.records("tasks") if "_ab_cdc_deleted_at" in row] == [task]

"""The wheel contains all files that it needs, and ignores those in the working directory."""

import json
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
import yaml

from integration_tests.harness.running import PROJECT


def run(*words: str | Path, cwd: Path) -> str:
    result = subprocess.run([str(word) for word in words], cwd=cwd, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Install the wheel into an environment that uses the packages of this one; return the environment's folder."""
    build = ("-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path / "dist", PROJECT)
    run(sys.executable, *build, cwd=tmp_path)
    [wheel] = (tmp_path / "dist").glob("*.whl")
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=False, symlinks=True)
    [site_packages] = environment.glob("lib/python*/site-packages")
    pip = ("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", site_packages, wheel)
    run(sys.executable, *pip, cwd=tmp_path)
    # The path of this environment's packages. Its own .pth files are not read, so the editable install stays out.
    (site_packages / "packages_of_the_tests.pth").write_text(sysconfig.get_path("purelib"))
    return environment


def test_the_wheel_ignores_a_manifest_in_the_working_directory(installed: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "manifest.yaml").write_text("version: 0.0.1\ntype: DeclarativeSource\nforeign: true\n")
    (elsewhere / "source_close").mkdir()
    (elsewhere / "source_close" / "manifest.yaml").write_text("foreign: true\n")
    python = installed / "bin" / "python"
    origin = run(python, "-I", "-c", "import source_close; print(source_close.__file__)", cwd=tmp_path).strip()
    assert Path(origin).is_relative_to(installed)
    code = "from source_close.__main__ import main; main(['spec'])"
    [line] = [one for one in run(python, "-I", "-c", code, cwd=elsewhere).splitlines() if '"SPEC"' in one]
    shown = json.loads(line)["spec"]["connectionSpecification"]
    manifest = yaml.safe_load((PROJECT / "manifest.yaml").read_text(encoding="utf-8"))
    assert shown["properties"].keys() == manifest["spec"]["connection_specification"]["properties"].keys()

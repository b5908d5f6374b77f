"""The rooms of the package: imports go one way. The unit tests stand on the package alone."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "source_close"
# A module may import from its own room and from those before it.
ROOMS = ["dates", "api", "streams", "config", "source", "run"]
MODULES = [file for file in sorted(PACKAGE.rglob("*.py")) if file.name != "__init__.py"]


def room_of(module: str) -> str:
    return module.split(".")[1]


def name_of(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts)


def imports(file: Path) -> Iterator[str]:
    """Yield the names of the modules that a file imports."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield node.module or ""
        if isinstance(node, ast.Import):
            yield from [one.name for one in node.names]


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_a_module_imports_only_from_its_own_room_and_those_before_it(file: Path) -> None:
    room = ROOMS.index(room_of(name_of(file)))
    for module in imports(file):
        if module.startswith("source_close."):
            assert room_of(module) in ROOMS[: room + 1], module


def test_every_module_is_in_a_room() -> None:
    assert {room_of(name_of(file)) for file in MODULES} == set(ROOMS)


def test_no_unit_test_imports_from_the_integration_tests() -> None:
    for file in Path(__file__).parent.glob("*.py"):
        assert not [module for module in imports(file) if module.startswith("integration_tests")], file.name

"""The package imports in one direction, and uses nothing private."""

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from importlib.metadata import packages_distributions, requires
from itertools import chain
from pathlib import Path

import pytest

from unit_tests.syncs import ROOT

CODE = sorted((ROOT / "source_close").rglob("*.py"))
# A module may import from its own room and from those before it.
ROOMS = ["dates", "api", "streams", "config", "source", "process", "run", "__main__"]
MODULES = [file for file in CODE if file.name != "__init__.py"]


def room_of(module: str) -> str:
    return module.split(".")[1]


def name_of(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts)


def imports(file: Path) -> Iterator[str]:
    """Yield what a file imports, such as `pathlib.Path`."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            yield from [module + one.name for one in node.names]


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_a_module_imports_only_from_its_own_room_and_those_before_it(file: Path) -> None:
    room = ROOMS.index(room_of(name_of(file)))
    for module in imports(file):
        if module.startswith("source_close."):
            assert room_of(module) in ROOMS[: room + 1], module


def test_the_package_imports_from_each_of_its_dependencies_and_no_other_package() -> None:
    imported = chain.from_iterable(imports(file) for file in CODE)
    distributions = packages_distributions()
    packages = chain.from_iterable(distributions.get(module.split(".")[0], []) for module in imported)
    required = [one for one in requires("source-close") or [] if "extra ==" not in one]
    expected = {re.split(r"[<>=]", one)[0].lower() for one in required}
    assert {package.lower() for package in packages} - {"source-close"} == expected


def test_no_unit_test_imports_from_the_integration_tests() -> None:
    for file in Path(__file__).parent.glob("*.py"):
        assert not [module for module in imports(file) if module.startswith("integration_tests")], file.name


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def private_members(made: type) -> set[str]:
    """Return those that a class has or uses; ruff's rule SLF001 forbids to use those of other objects than `self`."""
    nodes = ast.walk(ast.parse(inspect.getsource(made).lstrip()))
    used = {node.attr for node in nodes if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self"}
    return {name for name in used | set(vars(made)) if is_private(name) and not name.startswith("_abc_")}


@pytest.mark.parametrize("file", CODE, ids=name_of)
def test_no_private_name_is_imported(file: Path) -> None:
    assert not [name for name in imports(file) if any(map(is_private, name.split(".")))]


@pytest.mark.parametrize("file", CODE, ids=name_of)
def test_no_private_member_of_a_cdk_class_is_used_or_overridden(file: Path) -> None:
    module = importlib.import_module(name_of(file))
    for _, made in inspect.getmembers(module, inspect.isclass):
        if made.__module__ != module.__name__:
            continue
        for base in made.__mro__[1:]:
            if base.__module__.startswith("airbyte_cdk"):
                assert not private_members(made) & private_members(base), f"{made.__name__} and {base.__name__}"

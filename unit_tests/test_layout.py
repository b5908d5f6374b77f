"""The package: its imports go one way, and of the CDK it uses only public members.

A new version of the CDK then breaks nothing unnoticed. The unit tests stand on the package alone.
"""

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

from unit_tests.syncs import CODE, ROOT

# A module may import from its own room and from those before it.
ROOMS = ["dates", "api", "streams", "config", "source", "run"]
MODULES = [file for file in CODE if file.name != "__init__.py"]


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


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def private_attributes(code: str) -> list[ast.Attribute]:
    nodes = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Attribute)]
    return [node for node in nodes if is_private(node.attr)]


@pytest.mark.parametrize("file", CODE, ids=name_of)
def test_a_module_uses_only_private_attributes_that_it_defines(file: Path) -> None:
    code = file.read_text()
    attributes = [node for node in private_attributes(code) if ast.unparse(node) != "os._exit"]  # public all the same
    made = {node.attr for node in attributes if isinstance(node.ctx, ast.Store)}
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ClassDef):
            made |= {one.name for one in node.body if isinstance(one, ast.FunctionDef)}
            made |= {
                one.target.id
                for one in node.body
                if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)
            }
    assert {node.attr for node in attributes} <= made
    # Private attributes are used only on self, or on cls for attributes of the class.
    assert {ast.unparse(node.value) for node in attributes} <= {"self", "cls"}


@pytest.mark.parametrize("file", CODE, ids=name_of)
def test_no_private_name_is_imported(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert not [one.name for one in node.names if is_private(one.name)]
            assert not [part for part in (node.module or "").split(".") if is_private(part)]


@pytest.mark.parametrize("file", CODE, ids=name_of)
def test_no_private_member_of_a_cdk_class_is_overridden(file: Path) -> None:
    module = importlib.import_module(name_of(file))
    for _, made in inspect.getmembers(module, inspect.isclass):
        if made.__module__ != module.__name__:
            continue
        own = {name for name in vars(made) if is_private(name)}
        own |= {node.attr for node in private_attributes(inspect.getsource(made))}
        for base in made.__mro__[1:]:
            if not base.__module__.startswith("airbyte_cdk"):
                continue
            theirs = {name for name in vars(base) if is_private(name)}
            used = private_attributes(inspect.getsource(base).lstrip())
            theirs |= {node.attr for node in used if ast.unparse(node.value) == "self"}
            shared = {name for name in own & theirs if not name.startswith("_abc_")}
            assert not shared, f"{made.__name__} and {base.__name__}"

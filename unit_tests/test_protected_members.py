"""The connector uses only public members of the CDK, so that a new CDK version does not break it unnoticed."""

import ast
import importlib
import inspect
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "source_close"
MODULES = sorted(PACKAGE.rglob("*.py"))


def name_of(file: Path) -> str:
    return ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_a_module_uses_only_private_attributes_that_it_defines(file: Path) -> None:
    tree = ast.parse(file.read_text())
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and is_private(node.attr)]
    attributes = [node for node in attributes if ast.unparse(node) != "os._exit"]  # public all the same
    made = {node.attr for node in attributes if isinstance(node.ctx, ast.Store)}
    for node in ast.walk(tree):
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


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_no_private_name_is_imported(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert not [one.name for one in node.names if is_private(one.name)]
            assert not [part for part in (node.module or "").split(".") if is_private(part)]


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_no_private_member_of_a_cdk_class_is_overridden(file: Path) -> None:
    module = importlib.import_module(name_of(file))
    for _, made in inspect.getmembers(module, inspect.isclass):
        if made.__module__ != module.__name__:
            continue
        tree = ast.parse(inspect.getsource(made))
        own = {name for name in vars(made) if is_private(name)}
        own |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and is_private(node.attr)}
        for base in made.__mro__[1:]:
            if not base.__module__.startswith("airbyte_cdk"):
                continue
            theirs = {name for name in vars(base) if is_private(name)}
            source = ast.parse(inspect.getsource(base).lstrip())
            theirs |= {
                node.attr
                for node in ast.walk(source)
                if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self" and is_private(node.attr)
            }
            shared = {name for name in own & theirs if not name.startswith("_abc_")}
            assert not shared, f"{made.__name__} and {base.__name__}"

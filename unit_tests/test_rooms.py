"""The unit tests stand on the package alone."""

from __future__ import annotations

import ast
from pathlib import Path


def test_no_unit_test_imports_from_the_integration_tests() -> None:
    for file in Path(__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.startswith("integration_tests")], file.name

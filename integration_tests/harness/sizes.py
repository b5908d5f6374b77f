"""Replaces sizes of the manifest in this process, for reads that would need more data otherwise."""

from typing import Any

from source_close import source

# The replacements of each size by its name, such as `page_size`.
Sizes = dict[str, dict[int, int]]


def replace_sizes(sizes: Sizes) -> None:
    """Let the source load a manifest with other sizes."""
    if sizes:
        replaced = _replaced(source.load_manifest(), sizes)
        source.load_manifest = lambda: replaced


def _replaced(node: Any, sizes: Sizes) -> Any:
    if isinstance(node, list):
        return [_replaced(one, sizes) for one in node]
    if not isinstance(node, dict):
        return node
    return {
        name: sizes[name].get(value, value) if name in sizes and isinstance(value, int) else _replaced(value, sizes)
        for name, value in node.items()
    }

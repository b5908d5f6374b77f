"""Rewrite the figures in docs/performance.md, where each part of the benchmark has a pair of markers."""

import re

from .paths import DOCUMENT
from .processes import stop
from .tables import Table


def rewrite(part: str, intro: str, tables: list[Table]) -> None:
    """Replace the text between `<!-- figures: part -->` and `<!-- end -->`."""
    text = DOCUMENT.read_text()
    pattern = re.compile(rf"(<!-- figures: {part} -->\n).*?(<!-- end -->)", re.DOTALL)
    new = "\n\n".join([intro, *(_markdown(table) for table in tables)])
    changed, found = pattern.subn(lambda match: f"{match[1]}\n{new}\n\n{match[2]}", text)
    if not found:
        stop(f"docs/{DOCUMENT.name} has no markers for the figures of '{part}'.")
    DOCUMENT.write_text(changed)


def _markdown(table: Table) -> str:
    align = ["---", *("---:" for _ in table.head[1:])]
    lines = ["| " + " | ".join(cells) + " |" for cells in (table.head, align, *table.rows)]
    return "\n".join([f"**{table.title}**", "", *lines])

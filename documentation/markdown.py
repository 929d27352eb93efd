"""Small pieces of Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; cells may have line ends and vertical bars."""
    lines = [_row(head), _row(["---"] * len(head)), *map(_row, rows)]
    return "\n".join(lines) + "\n"


def code(text: object) -> str:
    """Return ``text`` as code."""
    return f"`{text}`"


def from_docstring(text: str) -> str:
    """Return the text of a docstring or of a help text, with its code as in Markdown."""
    return re.sub(r"``([^`]+)``", r"`\1`", " ".join(text.split()))


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(each.replace("\n", " ").replace("|", "\\|") for each in cells) + " |"

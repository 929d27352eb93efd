"""Docstrings in the style of NumPy as Markdown."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from textwrap import dedent

from documentation.markdown import code, from_docstring, table

_SECTION = re.compile(r"^(\w[\w ]*)\n-{3,}\n", re.MULTILINE)
_NAME = re.compile(r"\S+|\S.* : .*")
_LISTS = {
    "Parameters": "parameter",
    "Attributes": "attribute",
    "Returns": "returned",
    "Yields": "yielded",
    "Raises": "error",
}


def markdown_of(documented: object) -> str:
    """Return the docstring of an object: its text, then its sections as tables."""
    text, *sections = _SECTION.split(inspect.getdoc(documented) or "")
    parts = [*_paragraphs(text)]
    for title, body in zip(sections[::2], sections[1::2], strict=True):
        parts += _section(title, body)
    return "\n\n".join(parts)


def summary_of(documented: object) -> str:
    """Return the first paragraph of a docstring."""
    return from_docstring((inspect.getdoc(documented) or "").split("\n\n")[0])


def _section(title: str, body: str) -> Iterator[str]:
    if title in _LISTS:
        entries, rest = _entries(body)
        rows = [
            [code(name), from_docstring(kind), from_docstring(about)]
            for name, kind, about in entries
        ]
        head = [_LISTS[title], "", ""]
        if not any(kind for _, kind, _ in entries):
            head, rows = head[:2], [[name, about] for name, _, about in rows]
        yield table(head, rows).rstrip()
        yield from _paragraphs(rest)
    else:
        yield f"{title}:"
        yield from _paragraphs(body)


def _entries(body: str) -> tuple[list[tuple[str, str, str]], str]:
    """Return names, types and descriptions, and the text after them."""
    found: list[tuple[str, str, str]] = []
    lines = body.splitlines()
    while lines:
        head, *rest = lines
        indented = next(
            (i for i, line in enumerate(rest) if line and not line.startswith(" ")), len(rest)
        )
        if not head.strip():
            lines = rest
            continue
        about = dedent("\n".join(rest[:indented])).strip()
        if not about and not _NAME.fullmatch(head):  # text after the section
            return found, "\n".join(lines)
        name, _, kind = head.partition(" : ")
        found.append((name.strip(), kind.strip(), about))
        lines = rest[indented:]
    return found, ""


def _paragraphs(text: str) -> Iterator[str]:
    """Yield paragraphs; a session, or what is indented after ``::``, is a block of code."""
    is_code = False
    for part in re.split(r"\n\s*\n", text.strip("\n")):
        if part.startswith(">>>"):
            yield f"```python\n{_without_prompts(part)}\n```"
        elif is_code and part.startswith(" "):
            yield f"```python\n{dedent(part)}\n```"
        elif part.strip():
            is_code = part.rstrip().endswith("::")
            shown = re.sub(r"\s*::$", ":", part.rstrip()) if is_code else part
            if shown.strip() != ":":
                yield _prose(shown)


def _without_prompts(session: str) -> str:
    return re.sub(r"^(?:>>>|\.\.\.) ?|  # doctest: .*$", "", session, flags=re.MULTILINE)


def _prose(part: str) -> str:
    if part.lstrip().startswith(("- ", "* ")):
        return "\n".join(re.sub(r"``([^`]+)``", r"`\1`", line) for line in part.splitlines())
    return from_docstring(part)

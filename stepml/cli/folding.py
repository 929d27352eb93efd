"""Folds long lines for people, between words, with a hanging indent."""

from __future__ import annotations

import os
import re
import textwrap
from typing import TextIO

COLUMNS = 80  # of everything that no terminal shows
_INDENT = 2
# A command stays whole, so that it can be copied: the terminal itself wraps it. It is in quotes, or
# it ends with the clause.
_COMMAND = re.compile(r"`stepml [^`]+`|'stepml [^']+'|\b(?:stepml [a-z]|pip install )[^;,)]*")
_JOINT = "\0"


def folded(text: str, columns: int = COLUMNS) -> list[str]:
    """Return ``text``, a line, as lines of at most ``columns``; long words and commands stay whole.

    Later lines are indented by two more than the first one.
    """
    begin = " " * (len(text) - len(text.lstrip(" ")))
    joined = _COMMAND.sub(lambda found: found[0].replace(" ", _JOINT), text.strip())
    lines = textwrap.wrap(
        joined,
        columns,
        initial_indent=begin,
        subsequent_indent=begin + _INDENT * " ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(_JOINT, " ") for line in lines] or [""]


def for_stream(text: str, stream: TextIO) -> str:
    """Return ``text`` folded to the width of the terminal ``stream``; elsewhere, as it is."""
    if not stream.isatty():
        return text
    columns = _width(stream)
    return "\n".join(line for each in text.split("\n") for line in folded(each, columns))


def _width(stream: TextIO) -> int:
    given = os.environ.get("COLUMNS", "")
    if given.isdecimal() and int(given):
        return int(given)
    try:
        return os.get_terminal_size(stream.fileno()).columns or COLUMNS
    except (OSError, ValueError):  # it has no descriptor
        return COLUMNS

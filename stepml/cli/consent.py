"""Asks a person before something is lost."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from stepml.cli.output import Output


def can_ask(output: Output) -> bool:
    """Return whether a person can answer a question."""
    return not output.as_json and sys.stdin.isatty()


def is_confirmed(question: str) -> bool:
    """Ask a question whose default answer is no."""
    try:
        return typer.confirm(question, default=False, err=True)
    except typer.Abort:  # Ctrl-C or Ctrl-D
        return False

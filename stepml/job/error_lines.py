"""Errors as lines of text: each mistake has its own, and notes follow."""

from __future__ import annotations


def message_lines(error: Exception) -> list[str]:
    """Return the message; several mistakes are counted, and each has a line with its number."""
    mistakes: tuple[str, ...] = getattr(error, "mistakes", ())
    if len(mistakes) < 2:
        return [str(error)]
    return [f"{len(mistakes)} mistakes", *numbered(mistakes)]


def numbered(mistakes: list[str] | tuple[str, ...]) -> list[str]:
    """Return each mistake with its number."""
    return [f"  {number}. {each}" for number, each in enumerate(mistakes, 1)]


def note_lines(error: Exception) -> list[str]:
    """Return the lines of an error's notes, such as a line of text with a caret below it."""
    return [line for note in getattr(error, "__notes__", ()) for line in note.split("\n")]

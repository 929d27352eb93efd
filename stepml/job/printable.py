"""Text of others for messages and tables."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return a text with its control characters in a form that can be seen."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)

"""The classes of labels that are no numbers: text, booleans, or integers that float32 lacks.

Models know such a class by its code, 0.0, 1.0, …; people know it by its name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# Integers up to this are exact in float64, which JSON and NumPy share.
MOST_EXACT = 2**53

_BOOLEANS = {"true": "True", "false": "False"}
_INTEGER = re.compile(r"[+-]?\d+(\.0*)?")


def label_name(text: str, kind: str) -> str | None:
    """Return the name of a class as the data have it in ``text``; None: it is not of this kind."""
    label = text.strip()
    if kind == "boolean":
        return _BOOLEANS.get(label.lower())
    if kind == "integer":
        is_integer = _INTEGER.fullmatch(label) is not None
        number = int(label.partition(".")[0]) if is_integer else MOST_EXACT + 1
        return str(number) if abs(number) <= MOST_EXACT else None
    return label or None


def not_of_kind(kind: str) -> str:
    """Return words for a label that has no `label_name`."""
    if kind == "boolean":
        return "neither true nor false"
    return f"not an integer within ±{MOST_EXACT:,}"


def in_order(names: Iterable[str], kind: str) -> tuple[str, ...]:
    """Return the names of classes in the order of what they name."""
    return tuple(sorted(names, key=int) if kind == "integer" else sorted(names))

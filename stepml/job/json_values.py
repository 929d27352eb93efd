"""Checks and normalises the values of a JSON document before its fields are looked at."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from stepml.job.errors import InvalidJobError
from stepml.job.printable import printable

MAX_DEPTH = 8  # the spec has four levels
_LARGEST_INTEGER = 2**64  # of any field; messages show larger numbers as 1e+300
_LARGEST = 1e300  # of any field; arithmetic with it stays finite


def normalised(value: Any, path: Sequence[str] = ()) -> Any:
    """Return ``value`` with integers for numbers such as ``1.0``, as in JSON Schema.

    Raises
    ------
    InvalidJobError
        A number is infinite or huge, a string is no text, or values are nested too deeply. The
        message names the field.
    """
    if len(path) > MAX_DEPTH:
        raise InvalidJobError(f"{where(path[:3])}: values are nested too deeply")
    if isinstance(value, dict):
        return {_text(name, path): normalised(each, [*path, name]) for name, each in value.items()}
    if isinstance(value, list):
        return [normalised(each, [*path, str(at)]) for at, each in enumerate(value)]
    if isinstance(value, str):
        return _text(value, path)
    return _number(value, path)


def where(path: Sequence[str]) -> str:
    """Return the name of the field at ``path``, for messages."""
    return printable(".".join(path)) or "the job"


def _number(value: Any, path: Sequence[str]) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidJobError(f"{where(path)}: expected a finite number, got {value}")
    if isinstance(value, int | float) and abs(value) > _LARGEST:
        raise InvalidJobError(f"{where(path)}: the number is too large, beyond {_LARGEST:g}")
    if isinstance(value, float) and value.is_integer() and abs(value) < _LARGEST_INTEGER:
        return int(value)
    return value


def _text(value: Any, path: Sequence[str]) -> Any:
    try:
        str(value).encode()
    except UnicodeEncodeError:
        raise InvalidJobError(
            f"{where(path)}: {json.dumps(value)} is no text: it has half of a surrogate pair"
        ) from None
    return value

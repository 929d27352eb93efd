"""JSON as AWS reads it: no NaN, no half of a surrogate pair, a limit on nesting."""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

# The default of Jackson, the JSON library of AWS's services.
MAX_NESTING = 1000

_STRINGS = re.compile(r'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_BRACKETS = re.compile(r"[\[{]+|[\]}]+")


class DataError(ValueError):
    """A text is no JSON that Step Functions accepts."""


def strict_json(text: str) -> Any:
    """Return the value of ``text``.

    Raises
    ------
    DataError
        It is not JSON, has numbers beyond float64 or half of a surrogate pair, or is nested too
        deeply.
    """
    depth = nesting(text)
    if depth > MAX_NESTING:
        raise DataError(f"{depth} levels of nesting; the maximum is {MAX_NESTING}")
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise DataError("half of a surrogate pair is no character") from error
    except ValueError as error:
        raise DataError(str(error)) from error
    return value


def nesting(text: str) -> int:
    """Return how deeply arrays and objects in the JSON ``text`` are nested."""
    depth = deepest = 0
    for run in _BRACKETS.findall(_STRINGS.sub("", text)):
        depth += len(run) if run[0] in "[{" else -len(run)
        deepest = max(deepest, depth)
    return deepest


def _refuse_constant(name: str) -> NoReturn:
    raise DataError(f"{name} is not JSON")


def _finite(number: str) -> float:
    value = float(number)
    if math.isinf(value):
        raise DataError(f"{number} is too large a number")
    return value

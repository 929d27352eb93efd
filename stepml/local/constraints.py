"""Checks of requests against a service's model, with the messages of AWS."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

# By the type of a shape; others, such as timestamps, have several forms.
_TYPES: dict[str, Any] = {
    "string": str,
    "integer": int,
    "long": int,
    "float": (int, float),
    "double": (int, float),
    "boolean": bool,
    "list": list,
    "map": dict,
    "structure": dict,
}


def violations(value: Any, shape: Shape, path: str = "") -> Iterator[str]:
    """Yield each constraint of ``shape`` that ``value`` breaks, in AWS's words.

    Parameters
    ----------
    value : object
        A parameter, or a structure of parameters, of a request.
    shape : Shape
        Its shape in botocore's model of the service.
    path : str
        The parameter's name; members of a list count from 1.
    """
    for constraint in _broken(value, shape):
        # AWS does not repeat values that may be secret.
        shown = "Value" if shape.metadata.get("sensitive") else f"Value '{value}'"
        yield f"{shown} at '{path}' failed to satisfy constraint: {constraint}"
    if isinstance(shape, StructureShape) and isinstance(value, Mapping):
        yield from _of_members(value, shape, path)
    elif isinstance(shape, ListShape) and isinstance(value, list):
        for position, item in enumerate(value, start=1):
            yield from violations(item, shape.member, f"{path}.{position}.member")
    elif isinstance(shape, MapShape) and isinstance(value, Mapping):
        for key, item in value.items():
            yield from violations(item, shape.value, f"{path}.{key}.member")


def wrong_type(value: Any, shape: Shape) -> str | None:
    """Return AWS's message if ``value``, or a part of it, has not the type of ``shape``."""
    types = _TYPES.get(shape.type_name)
    if types is not None and (
        not isinstance(value, types) or isinstance(value, bool) != (types is bool)
    ):
        return f"{type(value).__name__} can not be converted to {shape.type_name}"
    parts: list[tuple[Any, Shape]] = []
    if isinstance(shape, StructureShape):
        parts = [(value.get(name), member) for name, member in shape.members.items()]
    elif isinstance(shape, ListShape):
        parts = [(item, shape.member) for item in value]
    elif isinstance(shape, MapShape):
        parts = [(item, shape.value) for item in value.values()]
    wrong = (wrong_type(part, kind) for part, kind in parts if part is not None)
    return next(filter(None, wrong), None)


def summary(problems: list[str]) -> str:
    """Return the message of a ValidationException for ``problems``."""
    errors = "error" if len(problems) == 1 else "errors"
    return f"{len(problems)} validation {errors} detected: {'; '.join(problems)}"


def _of_members(value: Mapping[str, Any], shape: StructureShape, path: str) -> Iterator[str]:
    for name, member in shape.members.items():
        where = f"{path}.{name}" if path else name
        if value.get(name) is not None:
            yield from violations(value[name], member, where)
        elif name in shape.required_members:
            yield (f"Value null at '{where}' failed to satisfy constraint: Member must not be null")


def _broken(value: Any, shape: Shape) -> Iterator[str]:
    limits = shape.metadata
    if isinstance(value, (str, list, Mapping)) and not isinstance(shape, StructureShape):
        yield from _outside(len(value), limits, "length")
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield from _outside(value, limits, "value")
    if isinstance(value, str):
        pattern, words = limits.get("pattern"), limits.get("enum")
        if pattern and not _compiled(pattern).fullmatch(value):
            yield f"Member must satisfy regular expression pattern: {pattern}"
        if words and value not in words:
            yield f"Member must satisfy enum value set: [{', '.join(words)}]"


def _outside(size: float, limits: Mapping[str, Any], what: str) -> Iterator[str]:
    if size < limits.get("min", size):
        yield f"Member must have {what} greater than or equal to {limits['min']}"
    if size > limits.get("max", size):
        yield f"Member must have {what} less than or equal to {limits['max']}"


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    """Return ``pattern``, written in Java's syntax; one that Python cannot read matches all."""
    try:
        return re.compile(pattern.replace(r"\p{ASCII}", r"[\x00-\x7f]"))
    except re.error:
        return re.compile(r"(?s).*")

"""Validation errors in words: the field, the values that it allows, and the value given."""

from __future__ import annotations

import difflib
import re
from typing import Any

import msgspec

from stepml.job.schema import describe, field_schema

_PLACE = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_UNKNOWN = re.compile(r"unknown field `(?P<field>[^`]*)`")
_MISSING = re.compile(r"missing required field `(?P<field>[^`]*)`")


def explain(message: str, document: Any) -> str:
    """Return the field, the allowed values and the given value of a validation error.

    Parameters
    ----------
    message : str
        Of msgspec's error.
    document : object
        The job that was validated.
    """
    place = _PLACE.search(message)
    path = place["path"].split(".") if place and place["path"] else []
    where = ".".join(path) or "the job"
    value, schema = _value_at(document, path), field_schema(path, document)
    if unknown := _UNKNOWN.search(message):
        return _explain_unknown(unknown["field"], where, sorted(schema.get("properties", {})))
    if missing := _MISSING.search(message):
        field = missing["field"]
        allowed = describe(field_schema([*path, field], document))
        return f"{'.'.join([*path, field])}: is required ({allowed})"
    return f"{where}: expected {describe(schema)}, got {_shown(value)}{_hint(value, schema)}"


def _hint(value: Any, schema: dict[str, Any]) -> str:
    choices = [str(choice) for choice in schema.get("enum", [])]
    close = difflib.get_close_matches(value, choices, 1, 0.5) if isinstance(value, str) else []
    return f" (did you mean {close[0]!r}?)" if close else ""


def _explain_unknown(field: str, where: str, known: list[str]) -> str:
    close = difflib.get_close_matches(field, known, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return f"{where}: unknown field {field!r}{hint}; known: {', '.join(known)}"


def _value_at(document: Any, path: list[str]) -> Any:
    for name in path:
        document = document.get(name) if isinstance(document, dict) else None
    return document


def _shown(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 100 else text[:97] + "..."

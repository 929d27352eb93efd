"""Strict parsing of the job spec: at the door, before anything has started."""

from __future__ import annotations

import difflib
import json
import re
from typing import Any

import msgspec

from stepml.job.availability import refuse_unavailable_choices
from stepml.job.combinations import refuse_combinations
from stepml.job.errors import InvalidJobError
from stepml.job.schema import describe, field_schema
from stepml.job.spec import JobSpec

_PLACE = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_UNKNOWN = re.compile(r"unknown field `(?P<field>[^`]*)`")
_MISSING = re.compile(r"missing required field `(?P<field>[^`]*)`")


def parse_job(job: bytes | str | dict[str, Any]) -> JobSpec:
    """Return the job spec that ``job`` states, checked in every field.

    Parameters
    ----------
    job : bytes, str or dict
        The JSON text, or the object that it holds.

    Raises
    ------
    InvalidJobError
        ``job`` is not JSON, or a field is unknown, missing, of another type or out of its limits.
    NotAvailableError
        A choice is valid but this version cannot do it yet.
    """
    document = _decode(job) if isinstance(job, bytes | str) else job
    refuse_unavailable_choices(document)
    try:
        spec = msgspec.convert(document, JobSpec)
    except msgspec.ValidationError as error:
        raise InvalidJobError(_explain(str(error), document)) from None
    refuse_combinations(spec)
    return spec


def _decode(text: bytes | str) -> Any:
    # The standard library says in which line a mistake is, and shows names that stand twice.
    try:
        return json.loads(text, object_pairs_hook=_without_repeats, parse_constant=_refuse_constant)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InvalidJobError(f"the job is not JSON: {error}") from None


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise InvalidJobError(f"the job has a field twice: {', '.join(repeated)}")
    return dict(pairs)


def _refuse_constant(name: str) -> None:
    raise InvalidJobError(f"the job is not JSON: {name} is no number of JSON")


def _explain(message: str, document: Any) -> str:
    place = _PLACE.search(message)
    path = place["path"].split(".") if place and place["path"] else []
    where = ".".join(path) or "the job"
    schema = field_schema(path, document)
    if unknown := _UNKNOWN.search(message):
        return _explain_unknown(unknown["field"], where, sorted(schema.get("properties", {})))
    if missing := _MISSING.search(message):
        field = missing["field"]
        allowed = describe(field_schema([*path, field], document))
        return f"{'.'.join([*path, field])}: is required ({allowed})"
    value = _value_at(document, path)
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

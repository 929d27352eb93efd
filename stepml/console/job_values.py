"""The values of a job's fields as text in a form, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from stepml.client.job_changes import json_value
from stepml.console.job_fields import VARIANT, Field, Path, grouped
from stepml.job.schema import Schema, group_schema

_KINDS: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "array": list,
    "object": dict,
}


def value_at(document: Any, path: Path) -> Any:
    """Return the value of a field in a grouped document, or None."""
    for name in path:
        document = document.get(name) if isinstance(document, Mapping) else None
    return document


def text_of(field: Field, value: Any) -> str:
    """Return a value of a job as the text from which `value_of` makes it; "" for None."""
    if value is None:
        return ""
    if isinstance(value, str) and value and value_of(field, value) == value:
        return value
    return json.dumps(value, ensure_ascii=False)


def value_of(field: Field, text: str) -> Any:
    """Return the value that a person means with a text; None if it is empty.

    It is JSON where the field may have such a value; text in quotes is always text. Otherwise it is
    the text itself, which the check of the job refuses if the field can have no text.
    """
    text = text.strip() or text
    if not text:
        return None
    if any(text in option.get("enum", ()) for option in field.options):
        return text
    try:
        value = json_value(text)
    except (ValueError, RecursionError):
        value = text
    if any(_admits(option, value) for option in field.options):
        return value
    takes_text = any(_admits(option, text) for option in field.options)
    if not takes_text and any(each.get("type") == "array" for each in field.options):
        return _listed(text)
    return text if takes_text or isinstance(value, str) else value


def with_value(document: Mapping[str, Any], path: Path, value: Any) -> dict[str, Any]:
    """Return a document with another value of a field, without it if the value is None.

    A group that is empty then is left out. If another variant of a group is chosen, the fields stay
    that it has too.
    """
    job = grouped(document)
    if path[-1] == VARIANT and len(path) > 1 and value_at(job, path) != value:
        inner = {**(_as_dict(value_at(job, path[:-1]))), VARIANT: value}
        names = group_schema(path[:-1], _with(job, path[:-1], inner)).get("properties", {})
        kept = {name: each for name, each in inner.items() if name in names and value is not None}
        return grouped(_with(job, path[:-1], kept))
    return grouped(_with(job, path, value))


def _with(group: Any, path: Path, value: Any) -> dict[str, Any]:
    name, *rest = path
    changed = dict(_as_dict(group))
    if rest:
        value = _with(changed.get(name), tuple(rest), value)
    if value in (None, {}):
        changed.pop(name, None)
    else:
        changed[name] = value
    return changed


def _as_dict(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _listed(text: str) -> Any:
    """Return the values of ``64, 32`` or of ``age, price``."""
    try:
        return json_value(f"[{text.strip('[]')}]")
    except (ValueError, RecursionError):
        return [each.strip() for each in text.split(",") if each.strip()]


def _admits(option: Schema, value: Any) -> bool:
    if "enum" in option:
        return value in option["enum"]
    kind = option.get("type", "object")
    if isinstance(value, bool) and kind != "boolean":
        return False
    return isinstance(value, _KINDS[kind])

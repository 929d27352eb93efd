"""Hints at what to write instead of a wrong value."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from shlex import quote
from typing import Any

from stepml.job.other_words import VALUES
from stepml.job.schema import field_schema
from stepml.job.suggestions import nearest

Schema = dict[str, Any]
Path = tuple[str, ...]

# The field of a group by which people name the whole group.
_MAIN_FIELDS: dict[Path, str] = {
    ("data",): "uri",
    ("model",): "name",
    ("algorithm",): "name",
    ("exchange",): "channel",
    ("stop",): "max_epochs",
}
_BOOLEANS = {"yes": True, "on": True, "no": False, "off": False}
_ARN = re.compile(r"arn:aws[\w-]*:s3:::(?P<place>[^/]+/.+)")
_S3 = re.compile(r"s3:/{1,2}(?P<place>[^/]+/.+)", re.IGNORECASE)
_QUANTITY = re.compile(
    r"[$€£]?\s*(?P<number>\d+(?:\.\d+)?)\s*(?:s|sec|seconds|usd)?", re.IGNORECASE
)


def hint(value: Any, schema: Schema, path: Path) -> str:
    """Return a hint for the wrong value of a field as " (…)", or "" if there is none.

    Parameters
    ----------
    value : any JSON value
    schema : dict
        Of the field.
    path : tuple of str
        The field.
    """
    words = next(_hints(value, schema, path), "")
    return f" ({words})" if words else ""


def meant_value(value: Any, schema: Schema, path: Path) -> Any:
    """Return the value that is meant by a wrong one; None if that is unknown."""
    if (group := _as_group(value, path)) is not None:
        return group
    if not isinstance(value, str):
        return None
    number = _unquoted(value)
    return number if _takes(number, schema) else _choice(value, schema)


def _hints(value: Any, schema: Schema, path: Path) -> Iterator[str]:
    if (group := _as_group(value, path)) is not None:
        yield f"write {json.dumps(group, ensure_ascii=False)}"
    if isinstance(value, int) and value in (0, 1) and _takes(True, schema):
        yield f"write {json.dumps(bool(value))}"
    if isinstance(value, list) and _is_place(schema):
        yield "give one place; all objects below it, if it ends with /"
    if not isinstance(value, str):
        return
    if field := _field_with_choice(value, path):
        yield f"that is a value of {field}"
    if meant := _choice(value, schema):
        yield f"did you mean {meant!r}?"
    if _takes(found := _unquoted(value), schema):
        text = value.strip().lower()
        yield f"write {text if _is_json(text) else json.dumps(found)} without quotes"
    if _is_character(schema) and value.lower() in ("\\t", "tab"):
        yield r'a tab is written "\t"'
    if _is_place(schema):
        yield from _place_hints(value)


def _as_group(value: Any, path: Path) -> dict[str, Any] | None:
    """Return the group that is meant by a value instead of it, such as a model by its name."""
    name = _MAIN_FIELDS.get(path)
    if name is None:
        return None
    schema = field_schema((*path, name), {path[0]: {}})
    if isinstance(value, str) and not _takes(0, schema):
        return {name: _choice(value, schema) or value}
    return {name: value} if isinstance(value, int) and _takes(value, schema) else None


def _field_with_choice(value: str, path: Path) -> str:
    """Return the field of an algorithm or a model whose value a wrong name is, or ""."""
    if path[1:] != ("name",):
        return ""
    whole = field_schema(path[:1], {})
    kinds = [each["discriminator"]["mapping"] for each in _kinds(whole) if "discriminator" in each]
    for name in (name for mapping in kinds for name in mapping):
        group = field_schema(path[:1], {path[0]: {"name": name}})
        for field, schema in group["properties"].items():
            if field != "name" and value.lower() in _choices(schema):
                return f"{path[0]}.{field}"
    return ""


def _choice(value: str, schema: Schema) -> str | None:
    choices = list(_choices(schema))
    other = VALUES.get(value.lower())
    return other if other in choices else nearest(value, choices)


def _kinds(schema: Schema) -> Iterator[Schema]:
    yield schema
    for each in schema.get("anyOf", []):
        yield from _kinds(each)


def _choices(schema: Schema) -> Iterator[str]:
    for each in _kinds(schema):
        yield from map(str, each.get("enum", []))


def _is_character(schema: Schema) -> bool:
    return any(each.get("maxLength") == 1 for each in _kinds(schema))


def _is_place(schema: Schema) -> bool:
    return any("s3://" in each.get("description", "") for each in _kinds(schema))


def _unquoted(text: str) -> Any:
    """Return the number, boolean or null that a text has, else the text."""
    plain = text.strip().lower()
    if plain in _BOOLEANS:
        return _BOOLEANS[plain]
    if found := _QUANTITY.fullmatch(plain):
        plain = found["number"]
    return json.loads(plain) if _is_json(plain) else text


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _takes(value: Any, schema: Schema) -> bool:
    """Return whether ``schema`` allows values of the type of ``value``, which is no string."""
    kinds = {each.get("type") for each in _kinds(schema)}
    if isinstance(value, bool):
        return "boolean" in kinds
    if value is None:
        return "null" in kinds
    if isinstance(value, int):
        return not kinds.isdisjoint({"integer", "number"})
    return isinstance(value, float) and "number" in kinds


def _place_hints(value: str) -> Iterator[str]:
    if found := _ARN.fullmatch(value) or _S3.fullmatch(value):
        if not value.startswith("s3://"):
            yield f"write s3://{found['place']}"
    elif re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", value):
        yield "copy it to this machine, then: stepml data put FILE"
    elif value and value.isprintable():
        yield f"upload it with: stepml data put {quote(value)}; it prints the uri"

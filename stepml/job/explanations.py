"""Mistakes in a job in words: the field, the values that it allows, and the value given."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator
from shlex import quote
from typing import Annotated, Any, get_args, get_origin

import msgspec

from stepml.job.conversion import converted
from stepml.job.json_values import where
from stepml.job.schema import describe, field_schema
from stepml.job.spec_base import SpecGroup

Group = type[SpecGroup]

_PLACE = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_CLOSE = 0.5  # similarity of a value to a choice


def mistakes(document: Any, group: Group) -> list[str]:
    """Return every mistake in ``document``, which should be an object with the fields of ``group``.

    A mistake names the field, the allowed values and the given value.
    """
    return list(_mistakes(document, document, group, []))


def _mistakes(document: Any, value: Any, kind: Any, path: list[str]) -> Iterator[str]:
    group = _group_for(value, kind)
    if group is not None:
        yield from _mistakes_in_group(document, value, group, path)
        return
    if (values := _values_by_name(value, kind)) is not None:
        for name, each in value.items():
            yield from _mistakes(document, each, values, [*path, name])
        return
    try:
        converted(value, kind)
    except msgspec.ValidationError as error:
        yield _explained(str(error), document, path)


def _mistakes_in_group(
    document: Any, given: dict[str, Any], group: Group, path: list[str]
) -> Iterator[str]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(group)}
    known = {*fields, *filter(None, [group.__struct_config__.tag_field])}
    for name in given:
        if name not in known:
            yield _unknown(name, where(path), sorted(known))
    for name, field in fields.items():
        place = [*path, name]
        if name in given:
            yield from _mistakes(document, given[name], field.type, place)
        elif field.required:
            yield f"{where(place)}: is required ({describe(field_schema(place, document))})"


def _group_for(value: Any, kind: Any) -> Group | None:
    """Return the group that describes the fields of ``value``; None if ``value`` cannot be one."""
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    groups: list[Group] = [each for each in (kind, *get_args(kind)) if _is_group(each)]
    if not isinstance(value, dict) or not groups:
        return None
    if len(groups) == 1:
        return groups[0]
    tags = {each.__struct_config__.tag: each for each in groups}
    name = value.get("name")
    return tags.get(name) if isinstance(name, str) else None


def _values_by_name(value: Any, kind: Any) -> Any | None:
    """Return the type of the values of an object with any names, or None if it is none."""
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if not isinstance(value, dict) or not all(value):
        return None
    found = [each for each in (kind, *get_args(kind)) if get_origin(each) is dict]
    return get_args(found[0])[1] if found else None


def _is_group(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, SpecGroup)


def _explained(message: str, document: Any, path: list[str]) -> str:
    """Return msgspec's ``message`` about the value at ``path`` in our words."""
    place = _PLACE.search(message)
    # A list is shown whole, without the place in it.
    inside = place["path"].partition("[")[0] if place else ""
    path = [*path, *filter(None, inside.split("."))]
    value, schema = _value_at(document, path), field_schema(path, document)
    if "missing required field `name`" in message:
        return f"{where([*path, 'name'])}: is required ({describe(schema['properties']['name'])})"
    return f"{where(path)}: expected {describe(schema)}, got {_shown(value)}{_hint(value, schema)}"


def _hint(value: Any, schema: dict[str, Any]) -> str:
    if not isinstance(value, str):
        return ""
    if close := did_you_mean(value, _choices(schema), _CLOSE):
        return close
    plain = value.strip().lower()
    if _takes(_unquoted(plain), schema):
        return f" (write {plain} without quotes)"
    is_path = value.isprintable() and "://" not in value
    if "s3://" in schema.get("description", "") and is_path:
        return f" (upload it with: stepml data put {quote(value)}; it prints the uri)"
    return ""


def _choices(schema: dict[str, Any]) -> Iterator[str]:
    for each in (schema, *schema.get("anyOf", [])):
        yield from map(str, each.get("enum", []))


def _unquoted(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _takes(value: Any, schema: dict[str, Any]) -> bool:
    """Return whether ``schema`` allows values of the type of ``value``, which is no string."""
    kinds = {each.get("type") for each in (schema, *schema.get("anyOf", []))}
    if isinstance(value, bool):
        return "boolean" in kinds
    if value is None:
        return "null" in kinds
    if isinstance(value, int):
        return not kinds.isdisjoint({"integer", "number"})
    return isinstance(value, float) and "number" in kinds


def did_you_mean(given: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return a hint at the known name that is most like ``given``, or "" if none is like it.

    Upper and lower case are alike.
    """
    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(given.lower(), by_lower, 1, cutoff)
    return f" (did you mean {by_lower[close[0]]!r}?)" if close else ""


def _unknown(field: str, group: str, known: list[str]) -> str:
    return (
        f"{group}: unknown field {field!r}{did_you_mean(field, known)}; known: {', '.join(known)}"
    )


def _value_at(document: Any, path: list[str]) -> Any:
    for name in path:
        document = document.get(name) if isinstance(document, dict) else None
    return document


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 100 else text[:97] + "..."

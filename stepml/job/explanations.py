"""Mistakes in a job in words: the field, the values that it allows, and the value given."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any, get_args, get_origin

import msgspec

from stepml.job.conversion import converted
from stepml.job.hints import hint, meant_value
from stepml.job.json_values import where
from stepml.job.misplaced import meant_field
from stepml.job.other_words import ELSEWHERE
from stepml.job.printable import printable
from stepml.job.schema import describe, field_schema
from stepml.job.spec_base import SpecGroup
from stepml.job.suggestions import nearest

Group = type[SpecGroup]
Path = tuple[str, ...]

_PLACE = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
MAX_SHOWN = 100  # characters of a value
MOST_MISTAKES = 50  # that are looked for at once; others may be as many as a file has fields


@dataclass(frozen=True, slots=True)
class FieldMistake:
    """A mistake at a field.

    Attributes
    ----------
    words : str
        The field, the allowed values and the given value; control characters can be seen.
    path : tuple of str
        The wrong field.
    meant : tuple of str
        The field that is meant by an unknown one, if that is known.
    instead : any JSON value
        The value that is meant by a wrong one; None: that is unknown.
    """

    words: str
    path: Path
    meant: Path = ()
    instead: Any = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "words", printable(self.words))


def mistakes(document: Any, group: Group) -> list[str]:
    """Return the mistakes in ``document``, which should be an object with the fields of ``group``.

    They are all, or the first `MOST_MISTAKES` of many. A mistake names the field, the allowed
    values and the given value.
    """
    return [each.words for each in field_mistakes(document, group)]


def field_mistakes(document: Any, group: Group) -> list[FieldMistake]:
    """Return the mistakes of `mistakes` with their fields; the first `MOST_MISTAKES` of many."""
    if whole := _mistake_of_all(document, group):
        return [whole]
    return list(islice(_mistakes(document, document, group, ()), MOST_MISTAKES))


def mistakes_in(given: dict[str, Any], group: Group, path: Path) -> list[str]:
    """Return the mistakes in a group of a job alone, which is at ``path`` in a job."""
    document: Any = given
    for name in reversed(path):
        document = {name: document}
    found = _mistakes_in_group(document, given, group, path)
    return [each.words for each in islice(found, MOST_MISTAKES)]


def _mistake_of_all(document: Any, group: Group) -> FieldMistake | None:
    """Explain a document that is another one than a job, in one message."""
    fields = {field.encode_name for field in msgspec.structs.fields(group)}
    if isinstance(document, list) and len(document) == 1 and isinstance(document[0], dict):
        return FieldMistake("the job: expected an object, got it in a list; remove the [ and ]", ())
    if not isinstance(document, dict) or not document or fields & set(document):
        return None
    for name, value in document.items():
        if isinstance(value, dict) and {"data", "model"} <= set(value):
            words = f"the job: expected its fields, got them within {name!r}; give that alone"
            return FieldMistake(words, ())
    if len(document) < 2 or any(
        meant_field(name, (), document) for name in islice(document, MOST_MISTAKES)
    ):
        return None
    return FieldMistake(
        f"the job: expected some of the fields {', '.join(sorted(fields))}; got only "
        f"{_shortened(', '.join(document))}",
        (),
    )


def _mistakes(document: Any, value: Any, kind: Any, path: Path) -> Iterator[FieldMistake]:
    group = _group_for(value, kind)
    if group is not None:
        yield from _mistakes_in_group(document, value, group, path)
        return
    if (values := _values_by_name(value, kind)) is not None:
        for name, each in value.items():
            yield from _mistakes(document, each, values, (*path, name))
        return
    try:
        converted(value, kind)
    except msgspec.ValidationError as error:
        yield _explained(str(error), document, path)


def _mistakes_in_group(
    document: Any, given: dict[str, Any], group: Group, path: Path
) -> Iterator[FieldMistake]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(group)}
    known = {*fields, *filter(None, [group.__struct_config__.tag_field])}
    meant: set[Path] = set()
    for name in given:
        if name not in known:
            found = _unknown(name, path, sorted(known), document)
            meant.add(found.meant)
            yield found
    for name, field in fields.items():
        place = (*path, name)
        if name in given:
            yield from _mistakes(document, given[name], field.type, place)
        elif field.required and place not in meant:
            words = f"{where(place)}: is required ({describe(field_schema(place, document))})"
            yield FieldMistake(words, place)


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


def _explained(message: str, document: Any, path: Path) -> FieldMistake:
    """Return msgspec's ``message`` about the value at ``path`` in our words."""
    place = _PLACE.search(message)
    # A list is shown whole, without the place in it.
    inside = place["path"].partition("[")[0] if place else ""
    path = (*path, *filter(None, inside.split(".")))
    value, schema = _value_at(document, path), field_schema(path, document)
    if "missing required field `name`" in message:
        return _nameless(value, schema["properties"]["name"], path)
    words = f"{where(path)}: expected {describe(schema)}, got {_shown(value)}"
    return FieldMistake(
        words + hint(value, schema, path), path, instead=meant_value(value, schema, path)
    )


def _nameless(group: dict[str, Any], schema: dict[str, Any], path: Path) -> FieldMistake:
    """Return the mistake that a model or an algorithm has no name, or has it in another field."""
    place = (*path, "name")
    others = islice(group.items(), MOST_MISTAKES)
    other = next((name for name, value in others if nearest(str(value), schema["enum"])), None)
    if other is not None:
        words = f"{where(path)}: unknown field {other!r} (did you mean 'name'?)"
        return FieldMistake(words, (*path, other), meant=place)
    return FieldMistake(f"{where(place)}: is required ({describe(schema)})", place)


def _unknown(name: str, path: Path, known: list[str], document: Any) -> FieldMistake:
    meant = meant_field(name, path, document) if len(name) <= MAX_SHOWN else ()
    words = f"{where(path)}: unknown field {_shortened(name)!r}"
    if not path and name.lower() in ELSEWHERE:
        return FieldMistake(f"{words} ({ELSEWHERE[name.lower()]})", (name,))
    if not meant:
        return FieldMistake(f"{words}; known: {', '.join(known)}", (*path, name))
    shown = meant[-1] if meant[:-1] == path else where(meant)
    return FieldMistake(f"{words} (did you mean {shown!r}?)", (*path, name), meant=meant)


def _value_at(document: Any, path: Path) -> Any:
    for name in path:
        document = document.get(name) if isinstance(document, dict) else None
    return document


def _shown(value: Any) -> str:
    return _shortened(json.dumps(value, ensure_ascii=False))


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 3]}..."

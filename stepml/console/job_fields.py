"""The fields of a job as a form has them, made of the schema of jobs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stepml.job.schema import SCHEMA_FIELD, Schema, describe, group_schema

Path = tuple[str, ...]

VARIANT = "name"  # the field of a group that chooses the other ones
_NULL = re.compile(r"null: ([^,;]+)")
_LIMITS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a job.

    Attributes
    ----------
    path : tuple of str
        The names of its groups, and its own.
    about : str
        Its description.
    default : str
        Its value, or what is done, if it is left out.
    choices : tuple of str
        The values that it may have, or some of them.
    is_closed : bool
        Whether it can have no other values.
    is_required : bool
    options : tuple of Schema
        The schema of each kind of value.
    """

    path: Path
    about: str
    default: str
    choices: tuple[str, ...]
    is_closed: bool
    is_required: bool
    options: tuple[Schema, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Fields that belong together, such as those of the model.

    Attributes
    ----------
    path : tuple of str
        Empty: the job itself.
    about : str
    fields : tuple of Field
        If it has variants, the first one chooses among them.
    groups : tuple of Group
        The groups in it.
    is_required : bool
    """

    path: Path
    about: str
    fields: tuple[Field, ...]
    groups: tuple[Group, ...]
    is_required: bool

    @property
    def is_open(self) -> bool:
        """Whether a variant must be chosen before it has more fields."""
        return [each.path[-1] for each in self.fields] == [VARIANT]

    def all_fields(self) -> Iterator[Field]:
        """Yield its fields, and those of the groups in it."""
        yield from self.fields
        for each in self.groups:
            yield from each.all_fields()


def job_form(document: Mapping[str, Any]) -> Group:
    """Return the fields of a job; the variants are those that ``document`` chooses."""
    return _group((), grouped(document), is_required=True)


def grouped(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document whose groups are objects, where a text may stand for a group.

    Fields are in the order of the schema. Those that are null, as if they were absent, are left
    out.
    """
    found: dict[str, Any] = _grouped((), document, document)
    return found


def field_of(message: str, document: Mapping[str, Any]) -> Path:
    """Return the field with which a message about a job begins; () if it is about none."""
    found: Path = ()
    job = grouped(document)
    for name in re.split(r"\.", re.match(r"[\w$.-]*", message)[0]):  # type: ignore[index]
        if name not in group_schema(found, job).get("properties", {}):
            break
        found = (*found, name)
    return found


def _group(path: Path, document: dict[str, Any], *, is_required: bool) -> Group:
    schema = group_schema(path, document)
    properties: Mapping[str, Schema] = schema["properties"]
    if schema.get("title") is None and VARIANT in properties:  # no variant is chosen yet
        properties = {VARIANT: properties[VARIANT]}
    required = schema.get("required", [VARIANT] if is_required else [])
    fields, groups = [], []
    for name, each in properties.items():
        inner = (*path, name)
        if name == SCHEMA_FIELD:
            continue
        if group_schema(inner, document):
            groups.append(_group(inner, document, is_required=name in required))
        elif name == VARIANT and "discriminator" in (variants := _variants(path, document)):
            names = {"enum": list(variants["discriminator"]["mapping"])}
            chooses = {**names, "description": _parent(path, document).get("description", "")}
            fields.append(_field(inner, chooses, is_required=is_required))
        else:
            fields.append(_field(inner, each, is_required=name in required))
    about = " ".join(schema.get("description", "").split())
    return Group(path, about, tuple(fields), tuple(groups), is_required)


def _variants(path: Path, document: dict[str, Any]) -> Schema:
    """Return the schema that lists the variants of a group; {} if it has none."""
    if not path:
        return {}
    kinds = _kinds(_parent(path, document))
    return next((each for each in kinds if "discriminator" in each), {})


def _parent(path: Path, document: dict[str, Any]) -> Schema:
    """Return the schema of the field that is a group."""
    found: Schema = group_schema(path[:-1], document)["properties"][path[-1]]
    return found


def _field(path: Path, schema: Schema, *, is_required: bool) -> Field:
    options = tuple(each for each in _kinds(schema) if each.get("type") != "null")
    choices = tuple(str(each) for option in options for each in option.get("enum", ()))
    if any(each.get("type") == "boolean" for each in options):
        choices = (*choices, "true", "false")
    is_closed = all("enum" in each or each.get("type") == "boolean" for each in options)
    default = _default(schema)
    about = _without_null(schema.get("description", ""), default)
    limits = [describe(each) for each in options if any(name in each for name in _LIMITS)]
    if limits:
        about = " ".join(filter(None, [about, f"({' or '.join(limits)})"]))
    return Field(path, about, default, choices, is_closed, is_required, options)


def _kinds(schema: Schema) -> Iterator[Schema]:
    if "anyOf" in schema and "discriminator" not in schema:
        for each in schema["anyOf"]:
            yield from _kinds(each)
    else:
        yield schema


def _default(schema: Schema) -> str:
    default = schema.get("default")
    if default is None:
        means = _NULL.search(schema.get("description", ""))
        return means[1] if means else "none"
    return default if isinstance(default, str) else json.dumps(default)


def _without_null(description: str, default: str) -> str:
    """Return a description without the meaning of null, if the field shows it as its default."""
    about, found, rest = description.rpartition("null: ")
    return about.rstrip("; ") if found and rest == default else description


def _grouped(path: Path, value: Any, document: Mapping[str, Any]) -> Any:
    schema = group_schema(path, document)
    if isinstance(value, str) and schema:  # the name of a variant, or of a job to resume
        value = {(schema.get("required") or [VARIANT])[0]: value}
    if not isinstance(value, Mapping) or not schema:
        return value
    names = [*(each for each in schema["properties"] if each in value), *value]
    return {
        name: _grouped((*path, name), value[name], document)
        for name in dict.fromkeys(names)
        if value[name] is not None
    }

"""The JSON Schema of the job spec, generated from its types, and its text for one field."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import msgspec

from stepml.job.spec import JobSpec

DIALECT = "https://json-schema.org/draft/2020-12/schema"
SCHEMA_FIELD = "$schema"  # of a job: the place of this schema, for editors; ignored otherwise

Schema = dict[str, Any]

_HUGE = 1e300  # the limit of numbers that may have any value


@cache
def job_schema() -> Schema:
    """Return the JSON Schema (2020-12) of the job spec."""
    # As JSON has it: defaults are lists, no tuples.
    found = msgspec.json.decode(msgspec.json.encode(msgspec.json.schema(JobSpec)))
    schema: Schema = {"$schema": DIALECT, **found}
    job = schema["$defs"][JobSpec.__name__]
    about = {"type": "string", "description": "the JSON Schema, for editors; has no effect"}
    job["properties"] = {SCHEMA_FIELD: about, **job["properties"]}
    return schema


def field_schema(path: Sequence[str], job: object) -> Schema:
    """Return the schema of the field at ``path``; ``job`` determines the variant."""
    return _schema_at(path, job, absent=None)


def field_names(path: Sequence[str], job: object) -> tuple[str, ...] | None:
    """Return the names of the fields of the group at ``path``, which may be absent in ``job``.

    Those of all variants, if ``job`` chooses none. None if any name may be given; none at all if
    there is no group.
    """
    schema = _schema_at(path, job, absent={})
    names = tuple(schema.get("properties", {}))
    return None if not names and _values_of(schema) else names


def group_schema(path: Sequence[str], job: object) -> Schema:
    """Return the schema of the group at ``path``, which may be absent in ``job``.

    Of a group with variants it is that of the chosen one, or else has the fields of all. {} if
    there is a value without fields.
    """
    schema = _schema_at(path, job, absent={})
    return schema if "properties" in schema else {}


def _schema_at(path: Sequence[str], job: object, absent: object) -> Schema:
    """Return the schema at ``path``, with ``absent`` in the place of values that are no objects."""
    node, value = _resolve(job_schema(), job), job
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
        found = node.get("properties", {}).get(name) or _values_of(node) or {}
        node = _resolve(found, value if isinstance(value, dict) else absent)
    return node


def describe(schema: Schema) -> str:
    """Return the allowed values in words: "an integer from 1 to 40", "one of: s3, redis"."""
    if "anyOf" in schema and "discriminator" not in schema:
        return _joined(list(_choices_in_words(schema["anyOf"])))
    if "enum" in schema:
        return "one of: " + ", ".join(map(str, schema["enum"]))
    kind = schema.get("type", "object")
    words = {
        "integer": "an integer",
        "number": "a number",
        "string": "a string",
        "boolean": "true or false",
        "null": "null",
        "object": "an object",
        "array": "a list",
    }[kind]
    if "pattern" in schema and "description" in schema:
        return f"{words} like {schema['description']}"
    if kind == "object" and (values := _values_of(schema)):
        return f"{words}, {_keys_in_words(schema)} {describe(values)}"
    return words + _limits(schema)


def _joined(choices: list[str]) -> str:
    if any("," in each for each in choices):
        return " or ".join(choices)
    return " or ".join(
        [", ".join(choices[:-1]).replace("true or false", "true, false"), choices[-1]]
    )


def _choices_in_words(choices: Sequence[Schema]) -> Iterator[str]:
    """Yield each choice in words; an object of the other choices does not repeat them."""
    plain = [each for each in choices if each.get("type") not in ("object", "null")]
    for choice in choices:
        values = _values_of(choice)
        if plain and values and values.get("anyOf", [values]) == plain:
            yield f"an object, {_keys_in_words(choice)} one of these"
        else:
            yield describe(choice)


def _keys_in_words(schema: Schema) -> str:
    return "for each column or pattern" if "propertyNames" in schema else "for each name"


def _values_of(schema: Schema) -> Schema | None:
    """Return the schema of the values of an object with any keys; None if it is no such object."""
    for each in (schema, *schema.get("anyOf", [])):
        values = each.get("additionalProperties")
        if isinstance(values, dict):
            return values
    return None


def _limits(schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if "minLength" in schema:
        least, most = schema["minLength"], schema["maxLength"]
        return " of one character" if most == 1 else f" of {least} to {most} characters"
    if "items" in schema:
        least, most = schema.get("minItems", 0), schema.get("maxItems")
        number = f"of {least} to {most} values" if most else "of values"
        return f" {number}, each {describe(schema['items'])}"
    if "exclusiveMaximum" in schema:
        return f" from {_digits(low)}, below {_digits(schema['exclusiveMaximum'])}"
    if "exclusiveMinimum" in schema and high is not None:
        return f" above {_digits(schema['exclusiveMinimum'])}, at most {_digits(high)}"
    if low is None or low == -_HUGE:
        return ""
    if high is None or high == _HUGE:
        return f" of at least {_digits(low)}"
    return f" from {_digits(low)} to {_digits(high)}"


def _digits(number: float | None) -> str:
    """Return a limit with all its digits."""
    return f"{number}".removesuffix(".0")


def _resolve(schema: Schema, value: object) -> Schema:
    if "$ref" in schema:
        resolved: Schema = job_schema()["$defs"][schema["$ref"].rsplit("/", 1)[1]]
        return resolved
    choices = schema.get("anyOf", []) if "discriminator" not in schema else []
    objects = [choice for choice in choices if "$ref" in choice or "discriminator" in choice]
    if len(objects) == 1 and isinstance(value, dict):
        return _resolve(objects[0], value)  # among several kinds of values, the one with fields
    if "discriminator" in schema and isinstance(value, dict):
        mapping = schema["discriminator"]["mapping"]
        name = value.get("name")
        chosen = mapping.get(name) if isinstance(name, str) else None
        # No variant is chosen yet: the fields may be those of any.
        return _resolve({"$ref": chosen}, value) if chosen else _choice_of(mapping)
    return schema


def _choice_of(mapping: dict[str, str]) -> Schema:
    variants = (_resolve({"$ref": each}, None) for each in mapping.values())
    fields = {name: field for each in variants for name, field in each["properties"].items()}
    return {"type": "object", "properties": {**fields, "name": {"enum": sorted(mapping)}}}

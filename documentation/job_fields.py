"""The reference of the job's fields, made from its JSON Schema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from documentation.markdown import code, from_docstring, table
from stepml.job.schema import describe, job_schema

HEAD = """# Every field of a job

Made from the schema that `stepml schema` prints. [The job](../job.md) explains the fields, and
says which values StepML [chooses](../job.md#what-is-chosen) from the data.
"""
JOB = "JobSpec"
TITLES = {JOB: "The job"}


def fields_page() -> str:
    """Return the page with every field of a job: its values and its default."""
    return "\n".join([HEAD, *(_section(title, node) for title, node in _groups())])


def _groups() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each object of the schema with its title, in the order of the fields."""
    definitions = job_schema()["$defs"]
    pending, seen = [("", JOB)], set()
    while pending:
        path, name = pending.pop(0)
        if name in seen:
            continue
        seen.add(name)
        node = definitions[name]
        yield _title(path, name, node), node
        for field, value in node.get("properties", {}).items():
            below = f"{path}.{field}".lstrip(".")
            pending += [(below, each) for each in _references(value)]


def _title(path: str, name: str, node: dict[str, Any]) -> str:
    if not path:
        return TITLES[name]
    variant = _variant(node)
    return f"`{path}`: `{variant}`" if variant else f"`{path}`"


def _variant(node: dict[str, Any]) -> str | None:
    return next(iter(node.get("properties", {}).get("name", {}).get("enum", [])), None)


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"].rsplit("/", 1)[1]
        for key in ("anyOf", "items", "additionalProperties"):
            yield from _references(node.get(key))
    elif isinstance(node, list):
        for each in node:
            yield from _references(each)


def _section(title: str, node: dict[str, Any]) -> str:
    required = node.get("required", [])
    rows = [_row(name, value, required) for name, value in node.get("properties", {}).items()]
    about = from_docstring(node.get("description", ""))
    return f"## {title}\n\n{about}\n\n" + table(["field", "values", "default", ""], rows)


def _row(name: str, value: dict[str, Any], required: list[str]) -> list[str]:
    return [code(name), _values(value), _default(name, value, required), _about(value)]


def _values(value: dict[str, Any]) -> str:
    """Return the allowed values in words; of an object, the names of its variants."""
    names = [_variant(job_schema()["$defs"][each]) for each in _references(value)]
    if any(names):
        return " or ".join(code(each) for each in names if each)
    return "an object, below" if names else _in_words(value)


def _in_words(value: dict[str, Any]) -> str:
    """Return a value's limits in words, with choices as code where they stand alone."""
    if "enum" in value:
        return ", ".join(map(_shown, value["enum"]))
    if "pattern" in value:
        return "a string"  # which the description describes
    choices = value.get("anyOf", [])
    if all(each.get("type") != "object" for each in choices):
        return " or ".join(map(_in_words, choices)) or describe(value)
    return describe(value)


def _shown(choice: object) -> str:
    return "a blank" if choice == " " else code(choice)


def _default(name: str, value: dict[str, Any], required: list[str]) -> str:
    if name in required:
        return "required"
    return code(json.dumps(value["default"])) if "default" in value else ""


def _about(value: dict[str, Any]) -> str:
    """Return a field's description, or that of the only object that it may be."""
    objects = [job_schema()["$defs"][each] for each in _references(value)]
    of_object = objects[0] if len(objects) == 1 else {}
    return from_docstring(value.get("description") or of_object.get("description", ""))

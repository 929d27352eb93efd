"""A job that a program has as objects, as the JSON that a person would write."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import msgspec

from stepml.job.errors import InvalidJobError
from stepml.job.spec_base import SpecGroup


def object_json(job: SpecGroup | Mapping[str, Any]) -> str:
    """Return the JSON text of a job: one of `stepml.Job`, or a mapping.

    Raises
    ------
    InvalidJobError
        A value has no JSON.
    """
    try:
        return json.dumps(plain(job))
    except RecursionError:
        raise InvalidJobError("the job: values are nested too deeply") from None


def plain(value: Any, field: str = "") -> Any:
    """Return a value of a job as JSON's types.

    Parameters
    ----------
    value : SpecGroup, mapping, list, tuple, str, Path, bool, int, float, None, or NumPy's
        Mappings and sequences hold such values.
    field : str
        Its field, for messages.

    Raises
    ------
    InvalidJobError
        It is of another type.
    """
    if isinstance(value, SpecGroup):
        return written(value)
    if isinstance(value, Mapping):
        prefix = f"{field}." if field else ""
        return {str(name): plain(each, f"{prefix}{name}") for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each, field) for each in value]
    if value is None or type(value) in (str, bool, int, float):
        return value
    if isinstance(value, str | PurePath):
        return str(value)
    if hasattr(value, "tolist"):  # an array or a number of NumPy
        return value.tolist()
    raise InvalidJobError(
        f"{field or 'the job'}: expected a value of JSON: text, a number, a boolean, "
        f"None, a list or a mapping, got {type(value).__name__}"
    )


def written(group: SpecGroup) -> dict[str, Any]:
    """Return the JSON object of a group, without the fields that have their defaults."""
    name = group.__struct_config__.tag_field
    kept: dict[str, Any] = {name: group.__struct_config__.tag} if name else {}
    for field in msgspec.structs.fields(group):
        value = getattr(group, field.name)
        if value != _default(field):
            kept[field.encode_name] = plain(value, field.encode_name)
    return kept


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default

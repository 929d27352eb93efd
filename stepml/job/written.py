"""A job built from the types of its spec, as a person would write it."""

from __future__ import annotations

from typing import Any

import msgspec

from stepml.job.spec_base import SpecGroup


def written(group: SpecGroup) -> dict[str, Any]:
    """Return the JSON object of a group, without the fields that have their defaults."""
    document = msgspec.to_builtins(group, str_keys=True)
    tag_field = group.__struct_config__.tag_field
    kept = {tag_field: document[tag_field]} if tag_field else {}
    for field in msgspec.structs.fields(group):
        value = getattr(group, field.name)
        if value != _default(field):
            kept[field.encode_name] = (
                written(value) if isinstance(value, SpecGroup) else document[field.encode_name]
            )
    return kept


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default

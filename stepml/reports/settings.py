"""The fields of jobs as paths, and those in which jobs differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec.structs import FieldInfo, fields

from stepml.job.spec import JobSpec


@dataclass(frozen=True, slots=True)
class Setting:
    """The value of a field of a job."""

    value: Any
    is_default: bool


def settings_of(spec: JobSpec) -> dict[str, Setting]:
    """Return every field of a job by its path, such as ``algorithm.learning_rate``."""
    return dict(_flat(spec, ""))


def differing(specs: Sequence[JobSpec | None]) -> dict[str, list[Any]]:
    """Return the fields in which jobs differ, by path, with the value of each job.

    A field that only some of the jobs have, such as one of their algorithms alone, counts if one
    of them gives it another value than the default. The value of a job without it is None.
    """
    known = [{} if spec is None else settings_of(spec) for spec in specs]
    paths = dict.fromkeys(path for each in known for path in each)
    groups = list(dict.fromkeys(map(_group, paths)))
    return {
        path: [each[path].value if path in each else None for each in known]
        for path in sorted(paths, key=lambda path: groups.index(_group(path)))
        if _differs(path, known)
    }


def _group(path: str) -> str:
    return path.partition(".")[0]


def _differs(path: str, known: Sequence[Mapping[str, Setting]]) -> bool:
    found = [each[path] for each in known if path in each]
    if len(found) == len(known):
        return any(each.value != found[0].value for each in found)
    return not all(each.is_default for each in found)


def _flat(struct: msgspec.Struct, prefix: str) -> Iterator[tuple[str, Setting]]:
    config = struct.__struct_config__
    if config.tag_field is not None:
        yield f"{prefix}{config.tag_field}", Setting(config.tag, is_default=False)
    for field in fields(struct):
        value, path = getattr(struct, field.name), f"{prefix}{field.encode_name}"
        if isinstance(value, msgspec.Struct):
            yield from _flat(value, f"{path}.")
        else:
            yield path, Setting(msgspec.to_builtins(value), value == _default(field))


def _default(field: FieldInfo) -> Any:
    return field.default_factory() if callable(field.default_factory) else field.default

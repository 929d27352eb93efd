"""Builds jobs and their groups in Python; what is wrong is refused at once, as in a job's JSON.

The types of the spec are checked when JSON becomes one of them, not when a program makes one.
`stepml.Job`, `stepml.Data` and the others are therefore stand-ins for these types: a call checks
its arguments, and returns one of the type itself.
"""

from __future__ import annotations

from functools import cache
from inspect import signature
from typing import Any, get_args

import msgspec

from stepml.job.conversion import converted
from stepml.job.errors import InvalidJobError
from stepml.job.explanations import Path, mistakes_in
from stepml.job.salvage import salvaged
from stepml.job.spec import JobSpec
from stepml.job.spec_base import SpecGroup
from stepml.job.written import plain

_CODE_TO_COME = "code/stand-in.zip"


class Builder(type):
    """The type of a stand-in; its instances are those of the type for which it stands."""

    of: type[SpecGroup]

    def __call__(cls, *unnamed: Any, **fields: Any) -> SpecGroup:
        """Return a group of the job.

        Raises
        ------
        InvalidJobError
            A field is unknown, missing or wrong; of `stepml.Job` also if fields contradict each
            other. The message has all mistakes.
        TypeError
            A field is given without its name.
        """
        if unnamed:
            first = msgspec.structs.fields(cls.of)[0].name
            raise TypeError(f"{cls.__name__}: fields are given by name, such as {first}=…")
        return _job(fields) if cls.of is JobSpec else _group(cls.of, fields)

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, cls.of)

    def __subclasscheck__(cls, other: type) -> bool:
        return issubclass(getattr(other, "of", other), cls.of)


def builder(group: type[SpecGroup], name: str) -> Builder:
    """Return a stand-in for a type of the spec, under a name of `stepml`."""
    about = {
        "of": group,
        "__doc__": group.__doc__,
        "__module__": "stepml",
        "__signature__": signature(group),
        "__annotations__": group.__annotations__,
    }
    return Builder(name, (), about)


def _job(fields: dict[str, Any]) -> JobSpec:
    document = plain(fields)
    groups = [document.get(name) for name in ("model", "algorithm")]
    names_code = any(isinstance(each, dict) and each.get("entry_point") for each in groups)
    code_comes = names_code and document.get("code") is None  # by Client.run(job, code=…)
    spec, mistakes = salvaged({**document, "code": _CODE_TO_COME} if code_comes else document)
    if spec is None or mistakes:
        raise InvalidJobError.of(mistakes)
    return msgspec.structs.replace(spec, code=None) if code_comes else spec


def _group(group: type[SpecGroup], fields: dict[str, Any]) -> SpecGroup:
    path = _paths()[group]
    tags = group.__struct_config__
    name = {tags.tag_field: tags.tag} if tags.tag_field else {}
    document = {**name, **plain(fields, ".".join(path))}
    try:
        return converted(document, group)
    except msgspec.ValidationError:
        raise InvalidJobError.of(mistakes_in(document, group, path)) from None


@cache
def _paths() -> dict[type[SpecGroup], Path]:
    """Return the place of each group in a job."""
    found: dict[type[SpecGroup], Path] = {}

    def find(kind: Any, path: Path) -> None:
        if isinstance(kind, type) and issubclass(kind, SpecGroup) and kind not in found:
            found[kind] = path
            for field in msgspec.structs.fields(kind):
                find(field.type, (*path, field.encode_name))
        for each in get_args(kind):
            find(each, path)

    find(JobSpec, ())
    return found

"""The parameters of an estimator → the fields of its job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stepml.job.algorithms import ALGORITHMS
from stepml.job.errors import InvalidJobError
from stepml.job.spec_base import SpecGroup, listed, tag
from stepml.job.written import written

Group = str | Mapping[str, Any] | SpecGroup
"""A model or an algorithm: its name, its fields, or one of StepML's types."""

Fields = dict[str, Any]

OWN_FIELDS = ("uri", "format", "label", "has_label", "weight")
"""Fields of ``data`` that belong to the rows given to ``fit``."""


def given(**fields: Any) -> Fields:
    """Return the fields that are not None."""
    return {name: value for name, value in fields.items() if value is not None}


def name_of(group: Group | None) -> str:
    """Return the name of a model or an algorithm; empty if none is given, or no such thing."""
    if isinstance(group, SpecGroup):
        return tag(group)
    if isinstance(group, Mapping):
        return str(group.get("name", ""))
    return group if isinstance(group, str) else ""


def group(chosen: Group | None, fields: Mapping[str, Any], what: str) -> Fields | None:
    """Return a group of a job with the parameters that are not None.

    Parameters
    ----------
    chosen : str, mapping or SpecGroup, optional
    fields : mapping
        Parameters by the names of their fields.
    what : {"model", "algorithm"}

    Raises
    ------
    InvalidJobError
        The group is none, or a field is given twice or without a group.
    """
    found = given(**fields)
    if chosen is None:
        if found:
            raise InvalidJobError(
                f"{', '.join(found)}: depends on the {what}, which is chosen later; expected "
                f"{what} {listed(_algorithms_with(found))}, got None"
            )
        return None
    if not isinstance(chosen, str | Mapping | SpecGroup):
        raise InvalidJobError(
            f"{what}: expected a name, a mapping of fields or a {what} of stepml, got {chosen!r}"
        )
    own = {"name": chosen} if isinstance(chosen, str) else plain(chosen)
    if not isinstance(own.get("name"), str):
        raise InvalidJobError(f"{what}.name: expected the name of a {what}, got {chosen!r}")
    return merged(own, found, what)


def _algorithms_with(fields: Fields) -> tuple[str, ...]:
    """Return the names of the algorithms that have all of the fields."""
    return tuple(
        name for name, each in ALGORITHMS.items() if fields.keys() <= set(each.__struct_fields__)
    )


def plain(group: Mapping[str, Any] | SpecGroup) -> Fields:
    """Return a group as a new mapping; of StepML's types, as a person would write it."""
    return written(group) if isinstance(group, SpecGroup) else dict(group)


def merged(fields: Mapping[str, Any], more: Mapping[str, Any], where: str = "") -> Fields:
    """Return the fields of two mappings, group by group.

    Raises
    ------
    InvalidJobError
        A field has two values.
    """
    result = dict(fields)
    for name, value in more.items():
        path = f"{where}.{name}" if where else name
        own = result.get(name)
        if isinstance(own, Mapping) and isinstance(value, Mapping):
            result[name] = merged(own, value, path)
        elif own is not None and own != value:
            raise InvalidJobError(
                f"{path}: is given twice, as {own!r} and as {value!r}; leave one of them out"
            )
        else:
            result[name] = value
    return result


def rest_of_job(job: Mapping[str, Any] | None) -> Fields:
    """Return the fields of the parameter ``job``.

    Raises
    ------
    InvalidJobError
        It is no mapping, or names the data, which are those given to ``fit``.
    """
    if not isinstance(job, Mapping | None):
        raise InvalidJobError(f"job: expected a mapping of fields, got {job!r}")
    fields = dict(job or {})
    data = fields.get("data")
    data = data if isinstance(data, Mapping) else {}
    named = [name for name in OWN_FIELDS if name in data]
    if named:
        raise InvalidJobError(
            f"job: data.{named[0]} comes from the rows given to fit; leave it out, got "
            f"{data[named[0]]!r}"
        )
    return fields

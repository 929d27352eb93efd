"""Changes to the fields of a job: ``algorithm.learning_rate=0.1``."""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from stepml.job.errors import InvalidJobError
from stepml.job.json_values import where
from stepml.job.misplaced import meant_field
from stepml.job.printable import printable
from stepml.job.schema import describe, field_names, field_schema

_NAME = r'"[^"]*"|[^."=\s]+'
_SETTING = re.compile(rf"\s*((?:{_NAME})(?:\.(?:{_NAME}))*)\s*=(.*)", re.DOTALL)
_VARIANT = "name"  # the field that chooses the fields beside it
_BEGINS = ("{", "[", '"')  # of JSON that is no number or word


@dataclass(frozen=True, slots=True)
class Change:
    """A new value of one field of a job."""

    path: tuple[str, ...]  # the names of groups and of the field
    value: Any

    @classmethod
    def parsed(cls, setting: str) -> Self:
        """Return the change that ``setting`` describes, as in ``algorithm.learning_rate=0.1``.

        A name with dots is in double quotes. The value is JSON, or text if it is none.

        Raises
        ------
        InvalidJobError
            It is no path with a value, or the value begins like JSON, but is none.
        """
        found = _SETTING.fullmatch(setting)
        if found is None:
            raise InvalidJobError(f"expected FIELD=VALUE, got {setting!r}")
        path = _path(found[1])
        return cls(path, _value(found[2], where(path)))

    @classmethod
    def at(cls, path: str, value: Any) -> Self:
        """Return the change of the field at ``path``, such as ``algorithm.learning_rate``."""
        return cls(_path(path), value)


def changed(job: Any, changes: Sequence[Change]) -> Any:
    """Return the document of a job with ``changes``; later ones win. ``job`` stays as it is.

    Groups that the job lacks are made.

    Raises
    ------
    InvalidJobError
        A job has no such field. The values are not checked: `parse_job` does that.
    """
    if not isinstance(job, dict):
        return job
    result = with_values(job, changes)
    unknown = [each for change in changes for each in _unknown(result, change)]
    left = [each for change in changes for each in _left_over(job, result, change)]
    if unknown or left:
        raise InvalidJobError.of([*unknown, *left])
    return result


def with_values(job: Mapping[str, Any], changes: Iterable[Change]) -> dict[str, Any]:
    """Return the document of a job with ``changes``, as `changed`, even of unknown fields.

    Raises
    ------
    InvalidJobError
        A field is in a value that is no group.
    """
    result = copy.deepcopy(dict(job))
    for change in changes:
        _set(result, change)
    return result


def _path(text: str) -> tuple[str, ...]:
    return tuple(name.strip('"') for name in re.findall(_NAME, text))


def json_value(text: str) -> Any:
    """Return the value of a JSON text, or raise `ValueError` or `RecursionError`."""
    return json.loads(text, parse_constant=_refuse, parse_float=_finite)


def _value(text: str, field: str) -> Any:
    try:
        return json_value(text)
    except (ValueError, RecursionError):
        if text.startswith(_BEGINS) and text != text[0]:  # a bracket alone may be a delimiter
            raise InvalidJobError(f"{field}: expected JSON, got {printable(text)}") from None
        return text


def _refuse(constant: str) -> None:
    raise ValueError(constant)  # NaN: then it is text


def _finite(number: str) -> float:
    value = float(number)
    if math.isinf(value):  # which JSON cannot write
        raise ValueError(number)
    return value


def _set(job: dict[str, Any], change: Change) -> None:
    group = job
    for depth, name in enumerate(change.path[:-1], 1):
        inner = group.get(name)
        if inner is None:
            inner = group[name] = {}
        if not isinstance(inner, dict):
            field = where(change.path[:depth])
            raise InvalidJobError(
                f"{where(change.path)}: {field} is {json.dumps(inner)} in the job, which has no "
                f"fields; set {field} as a whole"
            )
        group = inner
    group[change.path[-1]] = change.value


def _unknown(job: Any, change: Change) -> Iterator[str]:
    """Yield a message if a job has no such field."""
    field = where(change.path)
    for depth, name in enumerate(change.path):
        group = change.path[:depth]
        names = field_names(group, job)
        if names is None:  # names of columns, and the like
            return
        if not names:
            about = describe(field_schema(group, job))
            yield f"{field}: {where(group)} has no fields; it is {about}"
            return
        if name not in names:
            known = f"; known: {', '.join(sorted(names))}"
            meant = meant_field(name, group, job)
            hint = f" (did you mean {where(meant)!r}?)" if meant else known
            yield f"{field}: unknown field{hint}"
            return


def _left_over(before: Any, job: Any, change: Change) -> Iterator[str]:
    """Yield a message if a variant is chosen that lacks fields of the job's variant."""
    *group, name = change.path
    given = _value_at(job, group)
    if name != _VARIANT or _value_at(before, change.path) in (None, change.value):
        return
    names = field_names(group, job) or ()
    left = [each for each in given if each not in names]
    if left:
        field, new = where(group), json.dumps({_VARIANT: change.value})
        yield (
            f"{where(change.path)}: {', '.join(left)} of the job's {field} would remain, which "
            f"{change.value!r} lacks; set {field} as a whole, as in {field}={new}"
        )


def _value_at(job: Any, path: Sequence[str]) -> Any:
    for name in path:
        job = job.get(name) if isinstance(job, dict) else None
    return job

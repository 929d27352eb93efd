"""The JSON text of a job that a program has as objects."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from stepml.job.errors import InvalidJobError
from stepml.job.spec_base import SpecGroup
from stepml.job.written import written


def object_json(job: SpecGroup | Mapping[str, Any]) -> str:
    """Return the JSON text of a job: one of `stepml.Job`, or a mapping.

    A mapping may have groups of `stepml.Job`, numbers of NumPy, tuples and paths as values.

    Raises
    ------
    InvalidJobError
        A value has no JSON.
    """
    try:
        return json.dumps(_plain(job, ""))
    except RecursionError:
        raise InvalidJobError("the job: values are nested too deeply") from None


def _plain(value: Any, field: str) -> Any:
    if isinstance(value, SpecGroup):
        value = written(value)
    if isinstance(value, Mapping):
        return {
            str(name): _plain(each, f"{field}.{name}" if field else str(name))
            for name, each in value.items()
        }
    if isinstance(value, list | tuple):
        return [_plain(each, field) for each in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, PurePath):
        return str(value)
    if hasattr(value, "tolist"):  # an array or a number of NumPy
        return value.tolist()
    raise InvalidJobError(
        f"{field or 'the job'}: expected a value of JSON: text, a number, a boolean, "
        f"None, a list or a mapping, got {type(value).__name__}"
    )

"""Strict parsing of the job spec: at the door, before anything has started."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from stepml.job.availability import refuse_unavailable_choices
from stepml.job.combinations import refuse_combinations
from stepml.job.errors import InvalidJobError
from stepml.job.explanations import explain
from stepml.job.spec import JobSpec


def parse_job(job: bytes | str | dict[str, Any]) -> JobSpec:
    """Return the job spec that ``job`` states, checked in every field.

    Parameters
    ----------
    job : bytes, str or dict
        The JSON text, or the object that it holds.

    Raises
    ------
    InvalidJobError
        ``job`` is not JSON, or a field is unknown, missing, of another type or out of its limits.
    NotAvailableError
        A choice is valid but this version cannot do it yet.
    """
    document = _decode(job) if isinstance(job, bytes | str) else job
    refuse_unavailable_choices(document)
    try:
        spec = msgspec.convert(document, JobSpec)
    except msgspec.ValidationError as error:
        raise InvalidJobError(explain(str(error), document)) from None
    refuse_combinations(spec)
    return spec


def _decode(text: bytes | str) -> Any:
    # The standard library says in which line a mistake is, and shows names that stand twice.
    try:
        return json.loads(text, object_pairs_hook=_without_repeats, parse_constant=_refuse_constant)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InvalidJobError(f"the job is not JSON: {error}") from None


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise InvalidJobError(f"the job has a field twice: {', '.join(repeated)}")
    return dict(pairs)


def _refuse_constant(name: str) -> None:
    raise InvalidJobError(f"the job is not JSON: {name} is no number of JSON")

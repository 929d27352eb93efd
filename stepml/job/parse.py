"""Strict parsing of the job spec, before anything starts."""

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
    """Return the job spec of ``job``, with every field checked.

    Parameters
    ----------
    job : bytes, str or dict
        The JSON text, or its object.

    Raises
    ------
    InvalidJobError
        ``job`` is not JSON, or a field is unknown, missing, of another type or out of its limits.
    NotAvailableError
        A choice is valid, but not available in this version yet.
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
    # The standard library names the line of a mistake, and reveals repeated names.
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
    raise InvalidJobError(f"the job is not JSON: {name} is not a JSON number")

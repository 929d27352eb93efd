"""The batch of a job that resumes another one with another number of workers."""

from __future__ import annotations

from typing import Any

import msgspec

from stepml.job.algorithm_base import Descent
from stepml.job.spec import JobSpec
from stepml.job.spec_base import open_fields_of
from stepml.ml.choices.pace import LEAST_ROWS


def with_shared_batch(spec: JobSpec, asked: JobSpec, before: JobSpec) -> JobSpec:
    """Return the job with as many rows in a batch of all ranks as in the job that it resumes.

    Parameters
    ----------
    spec : JobSpec
        With the choices of that job.
    asked : JobSpec
        The same one as it was given: only fields that it leaves open are changed.
    before : JobSpec
        That job.
    """
    algorithm, given = spec.algorithm, asked.algorithm
    if algorithm is None:
        return spec
    is_open = algorithm.open_fields if given is None else [*open_fields_of(given)]
    values: dict[str, Any] = {}
    rows = getattr(algorithm, "batch_size", None)
    if rows is not None and "batch_size" in is_open and spec.workers != before.workers:
        values["batch_size"] = _share(rows, spec, before)
    rate, steps = getattr(algorithm, "learning_rate", None), _steps(before) / _steps(spec)
    if rate is not None and "learning_rate" in is_open and steps != 1:
        values["learning_rate"] = float(f"{rate * steps:.3g}")
    return msgspec.structs.replace(spec, algorithm=msgspec.structs.replace(algorithm, **values))


def _share(rows: int, spec: JobSpec, before: JobSpec) -> int:
    share = -(-rows * before.workers // spec.workers)
    # Ranks that descend alone see no other rows.
    return share if _steps_together(spec) else max(share, min(rows, LEAST_ROWS))


def _steps(spec: JobSpec) -> int:
    """Return the steps that ranks make apart for one that they would make together."""
    return spec.workers if _steps_together(spec) and spec.exchange.pattern == "async" else 1


def _steps_together(spec: JobSpec) -> bool:
    return isinstance(spec.algorithm, Descent) and not spec.algorithm.averages_models


def note_on_batch(spec: JobSpec, before: JobSpec) -> list[str]:
    """Return a note on the rows of a batch, if the workers are not as many as ``before``."""
    now, then = (getattr(each.algorithm, "batch_size", None) for each in (spec, before))
    if spec.workers == before.workers or now is None or then is None:
        return []
    return [
        f"a batch has {now * spec.workers:,} rows, {now:,} of each of {spec.workers} ranks; in the "
        f"job that this one resumes, it had {then * before.workers:,}, {then:,} of each of "
        f"{before.workers}"
    ]

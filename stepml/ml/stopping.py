"""Tolerance and patience of a job that leaves them open."""

from __future__ import annotations

import math

import msgspec

from stepml.job.algorithm_base import Descent
from stepml.job.measures import LOSS
from stepml.job.spec import JobSpec, Stop
from stepml.job.spec_base import settled

# Of the loss of a trivial model. Differences of a mean over few rows are noise.
_TOLERANCE, _NOISE = 1e-4, 0.01
_LEAST_PATIENCE = 10  # epochs; shorter jobs end by max_epochs
_SHARE = 10  # long jobs wait for this part of their epochs


def with_tolerance(
    spec: JobSpec, trivial_loss: float | None, validation_rows: int, *, begins: bool = True
) -> JobSpec:
    """Return the job with tolerance and patience, unless it goes on to its last epoch anyway.

    It does with a learning rate that falls, as such a job improves at the end, and with algorithms
    that have a criterion of their own.

    Parameters
    ----------
    spec : JobSpec
        With a value in every other field.
    trivial_loss : float, optional
        Of a model that ignores the features, or of the untrained one.
    validation_rows : int
    begins : bool, default True
        False: the job goes on like the one that it resumes.
    """
    stop = spec.stop
    if stop.tolerance is not None:
        return _replaced(spec, stop.tolerance, stop.patience or 1)
    may_rest = stop.patience is not None or (begins and _rests_on_a_plateau(spec))
    if trivial_loss is None or not may_rest:
        return spec
    relative = max(_TOLERANCE, _NOISE / math.sqrt(max(1, validation_rows)))
    tolerance = float(f"{relative * abs(trivial_loss):.2g}") if stop.metric == LOSS else 0.0
    return _replaced(spec, tolerance, stop.patience or _patience(stop))


def _rests_on_a_plateau(spec: JobSpec) -> bool:
    algorithm = spec.algorithm
    is_constant = isinstance(algorithm, Descent) and algorithm.schedule == "constant"
    return is_constant and spec.stop.metric == LOSS


def _patience(stop: Stop) -> int:
    return max(_LEAST_PATIENCE, settled(stop.max_epochs) // _SHARE)


def _replaced(spec: JobSpec, tolerance: float, patience: int) -> JobSpec:
    stop = msgspec.structs.replace(spec.stop, tolerance=tolerance, patience=patience)
    return msgspec.structs.replace(spec, stop=stop)

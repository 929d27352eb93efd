"""The end of a job that leaves it open: tolerance and patience, or one epoch at the minimum."""

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
_AT_MINIMUM = 1e-5  # a fall of the objective that ADMM takes for convergence, too
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


def with_one_epoch(spec: JobSpec, asked: Stop, fall: float | None) -> JobSpec:
    """Return the job with a single epoch, if it begins at the minimum and nobody asks for more.

    Parameters
    ----------
    spec : JobSpec
        With a value of ``stop.max_epochs``.
    asked : Stop
        As the job has it.
    fall : float, optional
        Of the objective of all training rows, in sight at the start, relative to it; None: it is
        unknown.
    """
    is_open = asked.max_epochs is None and not asked.has_target
    warms_up = isinstance(spec.algorithm, Descent) and spec.algorithm.warmup_epochs > 0
    if not is_open or warms_up or fall is None or fall > _AT_MINIMUM:
        return spec
    return msgspec.structs.replace(spec, stop=msgspec.structs.replace(spec.stop, max_epochs=1))


def converged_at_start(stop: Stop, epoch: int, fall: float | None) -> str | None:
    """Return the reason if a job at its last epoch had converged before the first one.

    The parameters are as of `with_one_epoch`.
    """
    if fall is None or fall > _AT_MINIMUM or epoch < settled(stop.max_epochs):
        return None
    return (
        "training began at the minimum: there, the objective of all training rows could fall by "
        f"less than {_AT_MINIMUM:.3%}"
    )


def _rests_on_a_plateau(spec: JobSpec) -> bool:
    algorithm = spec.algorithm
    is_constant = isinstance(algorithm, Descent) and algorithm.schedule == "constant"
    return is_constant and spec.stop.metric == LOSS


def _patience(stop: Stop) -> int:
    return max(_LEAST_PATIENCE, settled(stop.max_epochs) // _SHARE)


def _replaced(spec: JobSpec, tolerance: float, patience: int) -> JobSpec:
    stop = msgspec.structs.replace(spec.stop, tolerance=tolerance, patience=patience)
    return msgspec.structs.replace(spec, stop=stop)

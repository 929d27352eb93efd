"""The parameters from which training starts, and the rho that suits them."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from stepml.job.algorithm_base import Descent
from stepml.job.choices import filled
from stepml.job.spec import JobSpec
from stepml.job.spec_base import open_fields_of, settled
from stepml.ml.matrices import Matrix, mean_squares
from stepml.ml.models import Model
from stepml.ml.models.base import Floats, LossModel
from stepml.ml.sample_objective import Rows, is_affordable, largest_curvature

# The objective of all rows is higher at a sample's minimum by about parameters / (2 · rows).
# With l1, many parameters are 0 and do not count.
_ROWS_A_PARAMETER, _ROWS_WITH_L1 = 500, 100
_SHARE = 0.5  # of the curvature: steps of the consensus along the gradient just do not overshoot
_SHARE_WITH_L1 = 0.1  # rho is that of all epochs: a smaller one leads away, a larger one is slow
# From zero: a larger rho makes the first epochs short. With l1 or a hinge loss, curvature says
# nothing.
_USUAL_RHO = 0.01
_LEAST_RHO, _MOST_RHO = 1e-9, 1e6
_LARGEST_SQUARE = 1e13  # of a row, on average: beyond, steps by the largest rho lead far away


def with_start(
    spec: JobSpec, model: Model, sample: Callable[[], Matrix], training_rows: int
) -> JobSpec:
    """Return the job with a value of ``algorithm.start``, if its algorithm has that field.

    Parameters
    ----------
    spec : JobSpec
        With an algorithm.
    model : Model
    sample : callable
        Returns the features of the sample. Called only if needed.
    training_rows : int
    """
    algorithm = settled(spec.algorithm)
    if "start" not in open_fields_of(algorithm):
        return spec
    suits = (
        algorithm.may_start_ahead
        and spec.model.is_convex
        and isinstance(model, LossModel)
        and _says_enough(spec, model, sample(), training_rows)
    )
    start = "sample" if suits else "zero"
    return msgspec.structs.replace(spec, algorithm=filled(algorithm, {"start": start}))


def rho_is_open(spec: JobSpec) -> bool:
    """Return whether rho is open."""
    return "rho" in open_fields_of(settled(spec.algorithm))


def with_rho(
    spec: JobSpec, model: LossModel, start: Floats, sample: Rows, training_rows: int
) -> JobSpec:
    """Return the job with a value of rho that suits the ``start`` of training.

    Nor is ``adaptive_rho`` given, if rho is open.
    """
    algorithm = settled(spec.algorithm)
    if algorithm.starts_at_sample:
        share = _SHARE_WITH_L1 if model.penalty.l1 else _SHARE
        rho = share * (largest_curvature(model, start, sample) or 1.0)
        if model.penalty.l1:  # each change of rho would lead the consensus away again
            algorithm = msgspec.structs.replace(algorithm, adaptive_rho=False)
    elif model.penalty.l1:
        rho = _USUAL_RHO
    else:
        rho = _from_zero(model, sample, training_rows / spec.workers)
    rho = float(f"{min(max(rho, _LEAST_RHO), _MOST_RHO):.2g}")
    return msgspec.structs.replace(spec, algorithm=filled(algorithm, {"rho": rho}))


def _from_zero(model: LossModel, sample: Rows, rank_rows: float) -> float:
    """Return a rho with which the ranks go far, but not apart.

    Their curvatures differ by about parameters / rows of it. Where the penalty has a larger one, it
    decides how far a rank goes.
    """
    curvature = model.curvature(*sample)
    if curvature is None:
        return _USUAL_RHO
    n_features: int = sample[0].shape[1]
    apart = (n_features + 1) / rank_rows * min(1.0, float(curvature.mean()))
    return max(min(apart, _USUAL_RHO), 2 * model.penalty.l2)


def _says_enough(spec: JobSpec, model: LossModel, X: Matrix, training_rows: int) -> bool:
    """Return whether the sample's minimum is a good start, and cheap."""
    a_parameter = _ROWS_WITH_L1 if model.penalty.l1 else _ROWS_A_PARAMETER
    enough = a_parameter * model.n_parameters
    if not _may_overfit(spec):
        enough = min(training_rows, enough)
    return len(X) >= enough and is_affordable(model, X) and _is_in_reach(spec, X)


def _may_overfit(spec: JobSpec) -> bool:
    """Return whether steps end at a better model than a minimum, which may fit the rows too well.

    A regression with few rows does not: from 0, its minimum has the smallest coefficients.
    """
    is_free = getattr(spec.model, "l2", None) == 0 and not spec.model.l1_factor
    return is_free and spec.model.has_classes and isinstance(spec.algorithm, Descent)


def _is_in_reach(spec: JobSpec, X: Matrix) -> bool:
    """Return whether rho may be so large that it holds the ranks at the start."""
    if spec.data.rescales or not rho_is_open(spec):
        return True
    return float(mean_squares(X).sum()) <= _LARGEST_SQUARE

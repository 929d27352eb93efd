"""The distance of shared parameters from the minimum of the objective, by sums over all ranks.

The unit is that of the objective, so features of any scale count alike. If the loss is smooth, one
Newton step along each single parameter predicts a fall: Σ g²/(2h), where g is the gradient and h
the diagonal of the Hessian, or a bound of it. Otherwise the fall in recent epochs is the measure.
"""

from __future__ import annotations

import numpy as np

from stepml.ml.algorithms.state import Sums
from stepml.ml.matrices import Floats64
from stepml.ml.models.base import Array, Floats, LossModel, Matrix

# Numbers by which ranks report a vector: larger models are folded, which gives an estimate.
BUCKETS = 512
_LEAST_BEND = 0.01  # of the curvature with rho: less may be a rounding error


def n_sums(model: LossModel) -> int:
    """Return the length of a rank's `rank_sums`."""
    return 1 + 2 * min(BUCKETS, model.n_parameters) if model.has_curvature else 1


def rank_sums(
    model: LossModel, w: Floats, X: Matrix, y: Array, loss: float, gradient: Floats64
) -> Sums:
    """Return a rank's sums at ``w``, per row; those of all ranks are added, weighted by rows.

    Parameters
    ----------
    model : LossModel
    w : array of shape (n_parameters,)
    X, y : rows and targets of the rank
    loss : float
        Mean of the rows, without penalty.
    gradient : array of shape (n_parameters,)
        Of ``loss``.
    """
    curvature = model.curvature(X, y)
    if curvature is None:
        return np.array([loss])
    slope = np.where(model.penalty.is_at_kink(w), 0, gradient) if _is_folded(model) else gradient
    return np.concatenate([[loss], _folded(slope, _signs(len(w))), _folded(curvature)])


def objective_of(model: LossModel, w: Floats, sums: Sums) -> float:
    """Return mean loss plus penalty at ``w``, given the ranks' `rank_sums`."""
    return float(sums[0]) + model.penalty.value(w)


def fall_in_sight(model: LossModel, w: Floats, sums: Sums) -> float:
    """Return the predicted fall of the objective at ``w``, given the ranks' `rank_sums`.

    The loss is smooth. Each parameter moves alone, so it may be less than the true distance from
    the minimum if features are correlated. Of large models it is an estimate, in which parameters
    at the kink of the penalty do not count.
    """
    slope, curvature = _slope(model, w, sums), sums[1 + len(sums) // 2 :]
    sizes = _folded(np.ones(len(w)))
    bend = curvature / sizes + _folded(model.penalty.curvature(len(w))) / sizes
    bends = bend > 0
    return 0.5 * float(np.sum(slope[bends] ** 2 / bend[bends]))


def fall_along(way: Floats64, rho: float, model: LossModel, w: Floats, sums: Sums) -> float:
    """Return the predicted fall of the objective along a way from ``w``, about.

    The way is that to the minimum of the objective plus rho/2·‖way‖², so the curvature along it is
    known. Correlated features do not hide a fall, nor does a large rho. If the loss is not smooth,
    it is 0: nothing is predicted.

    Parameters
    ----------
    way : array of shape (n_parameters,)
    rho : float
    model : LossModel
    w : array of shape (n_parameters,)
    sums : array
        The ranks' `rank_sums` at ``w``.
    """
    if len(sums) == 1:
        return 0.0
    fall = -float(_slope(model, w, sums) @ _folded(way, _signs(len(w))))
    bend = max(fall - rho * float(way @ way), _LEAST_BEND * abs(fall))
    return 0.5 * fall * fall / bend if bend else 0.0


def _slope(model: LossModel, w: Floats, sums: Sums) -> Floats64:
    """Return the slope of the objective; of large models it is folded."""
    slope = sums[1 : 1 + len(sums) // 2] + _folded(model.penalty.slope(w), _signs(len(w)))
    return slope if _is_folded(model) else model.penalty.steepest(w, slope)


def _is_folded(model: LossModel) -> bool:
    return model.n_parameters > BUCKETS


def _folded(vector: Floats64, signs: Floats64 | None = None) -> Floats64:
    """Return the sum of each bucket; with random signs, squares add up to those of ``vector``."""
    if len(vector) <= BUCKETS:
        return vector.astype(np.float64)
    terms = vector if signs is None else vector * signs
    sums: Floats64 = np.bincount(np.arange(len(vector)) % BUCKETS, terms).astype(np.float64)
    return sums


def _signs(n_parameters: int) -> Floats64 | None:
    if n_parameters <= BUCKETS:
        return None
    random = np.random.Generator(np.random.PCG64(n_parameters))
    return np.where(random.integers(0, 2, n_parameters) == 1, 1.0, -1.0)

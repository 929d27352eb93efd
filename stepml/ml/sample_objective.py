"""The objective on a sample of the rows, as a function for L-BFGS."""

from __future__ import annotations

import numpy as np

from stepml.ml import lbfgs
from stepml.ml.matrices import CsrMatrix, Floats64
from stepml.ml.models.base import Array, Floats, LossModel, Matrix

Rows = tuple[Matrix, Array]  # features and targets

BYTES_A_PARAMETER = 240  # L-BFGS has some thirty float64 numbers for each …
MOST_PARAMETERS = 100_000  # … and works with all of them in each iteration
_MOST_OPERATIONS = 2 * 10**10  # multiply-adds of `minimum`: a few seconds
_MOST_EVALUATIONS, _LEAST_EVALUATIONS = 200, 30
_LEAST_FALL = 1e-7  # relative, in one iteration
_POWER_STEPS = 10
_STEP = 1e-2  # of a difference of gradients, relative to the parameters


class SampleObjective:
    """Mean loss and penalty of a sample, of parameters in units of their curvature.

    With them, features of any scale are learnt alike. Parameters at a kink of the penalty rest.

    Parameters
    ----------
    model : LossModel
    w : array of shape (n_parameters,)
        The parameters from which the search starts.
    sample : rows
    """

    def __init__(self, model: LossModel, w: Floats, sample: Rows) -> None:
        self.evaluations = 0
        self._model = model
        self._sample = sample
        self._moves = ~model.penalty.is_at_kink(w)
        curvature = model.curvature(*sample)
        unit = np.ones(len(w)) if curvature is None else np.sqrt(curvature)
        self.unit: Floats64 = np.where((unit > 0) & np.isfinite(unit), unit, 1.0)
        self._buffer = np.empty_like(w)

    def __call__(self, x: Floats64) -> tuple[float, Floats64]:
        """Return value and gradient."""
        self.evaluations += 1
        w = self.parameters(x)
        loss = self._model.gradient(w, *self._sample, out=self._buffer)
        penalty = self._model.penalty
        gradient = np.where(self._moves, self._buffer + penalty.slope(w), 0.0)
        return loss + penalty.value(w), gradient / self.unit

    def parameters(self, x: Floats64) -> Floats:
        """Return the parameters of the model."""
        return (x / self.unit).astype(np.float32)


def operations(model: LossModel, X: Matrix) -> int:
    """Return the multiply-adds of an evaluation of loss and gradient on rows ``X``."""
    n_rows, n_features = X.shape
    values = X.nnz if isinstance(X, CsrMatrix) else n_rows * n_features
    n_outputs: int = max(1, model.n_parameters // (n_features + 1))
    return 2 * max(1, values) * n_outputs


def is_affordable(model: LossModel, X: Matrix) -> bool:
    """Return whether `minimum` comes close to the minimum in a few seconds."""
    evaluations = _MOST_OPERATIONS // operations(model, X)
    return model.n_parameters <= MOST_PARAMETERS and evaluations >= _LEAST_EVALUATIONS


def minimum(model: LossModel, sample: Rows) -> Floats:
    """Return the parameters that minimise the objective on the sample, by L-BFGS.

    There is no l1. If the loss has kinks, or the work is too much, they may be only near the
    minimum.
    """
    affordable = _MOST_OPERATIONS // operations(model, sample[0])
    evaluations = max(_LEAST_EVALUATIONS, min(_MOST_EVALUATIONS, affordable))
    w = model.initial_parameters()
    with np.errstate(all="ignore"):  # a search may try parameters that are too large
        objective = SampleObjective(model, w, sample)
        now = lbfgs.start(objective, w * objective.unit)
        while not now.at_end and objective.evaluations < evaluations:
            now = lbfgs.advance(objective, now, tolerance=0.0, least_fall=_LEAST_FALL)
        found = objective.parameters(now.x)
    return found if np.isfinite(found).all() else w


def largest_curvature(model: LossModel, w: Floats, sample: Rows) -> float:
    """Return the largest eigenvalue of the loss's Hessian at ``w``, about, by power iteration."""
    at_w, ahead = np.empty_like(w), np.empty_like(w)
    model.gradient(w, *sample, out=at_w)
    step = _STEP * max(1.0, float(np.linalg.norm(w)))
    v = np.random.Generator(np.random.PCG64(0)).normal(size=len(w))
    value = 0.0
    with np.errstate(all="ignore"):
        for _ in range(_POWER_STEPS):
            v /= np.linalg.norm(v)
            model.gradient((w + step * v).astype(np.float32), *sample, out=ahead)
            v = (ahead.astype(np.float64) - at_w) / step
            value = float(np.linalg.norm(v))
            if not 0 < value < np.inf:
                return 0.0
    return value

"""The objective on a sample of the rows, and the way to its minimum by L-BFGS."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from stepml.job.model_base import ModelSpec
from stepml.ml import lbfgs, orthants
from stepml.ml.lbfgs import Iterate
from stepml.ml.matrices import CsrMatrix, Floats64, mean_squares
from stepml.ml.models.base import Array, Floats, LossModel, Matrix

Rows = tuple[Matrix, Array]  # features and targets

MOST_PARAMETERS = 100_000  # L-BFGS works with all of its numbers in each iteration
_MOST_OPERATIONS = 2 * 10**10  # multiply-adds of `minimum`: a few seconds
_MOST_EVALUATIONS, _LEAST_EVALUATIONS = 200, 30
_LEAST_FALL = 1e-7  # relative, in one iteration
# Of a loss with kinks, which are rounded in stages.
_WIDTHS = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
_MOST_IN_STAGE, _LEAST_IN_STAGE = 100, 10  # evaluations
_LEAST_FALL_OF_ROUNDED = 1e-5
_POWER_STEPS = 10
_STEP = 1e-2  # of a difference of gradients, relative to the parameters, or to features of size 1
_SPARSE_COST = 10  # of a stored value of a sparse row, relative to a dense one
_SHARE_OF_FIRST = 1e-3  # of the objective before training, beside that of the minimum, may be 0


class SampleObjective:
    """Mean loss and penalty of a sample, of parameters in units of their curvature.

    With them, features of any scale are learnt alike. The penalty l1 has kinks, which L-BFGS does
    not see: with it, iterations stay within orthants.

    Parameters
    ----------
    model : LossModel
    w : array of shape (n_parameters,)
        The parameters from which the search starts.
    sample : rows

    Attributes
    ----------
    evaluations : int
        So far.
    is_smooth : bool
        The loss has no kinks.
    """

    def __init__(self, model: LossModel, w: Floats, sample: Rows) -> None:
        self.evaluations = 0
        self._model = model
        self._sample = sample
        self._smooth_penalty = replace(model.penalty, l1=0.0)
        curvature = model.curvature(*sample)
        self.is_smooth = curvature is not None
        unit = np.ones(len(w)) if curvature is None else np.sqrt(curvature)
        self.unit: Floats64 = np.where((unit > 0) & np.isfinite(unit), unit, 1.0)
        self._weights = np.zeros(len(w))  # of the absolute values
        self._weights[: model.penalty.n_coefficients] = model.penalty.l1
        self._weights /= self.unit
        self._buffer = np.empty_like(w)

    def start(self, w: Floats) -> Iterate:
        """Return the iterate at these parameters."""
        x = w * self.unit
        if self._model.penalty.l1:
            return orthants.start(self, x, self._weights)
        return lbfgs.start(self, x)

    def descended(self, w: Floats, evaluations: int, least_fall: float) -> Iterate:
        """Return the iterate after some evaluations from ``w``, or at the end of the search."""
        now = self.start(w)
        while not now.at_end and self.evaluations < evaluations:
            now = self.advance(now, least_fall)
        return now

    def advance(self, now: Iterate, least_fall: float) -> Iterate:
        """Return the next iterate; see `lbfgs.advance`."""
        if self._model.penalty.l1:
            return orthants.advance(self, now, self._weights, least_fall=least_fall)
        return lbfgs.advance(self, now, tolerance=0.0, least_fall=least_fall)

    def fall_in_sight(self, now: Iterate) -> float:
        """Return the predicted fall of the objective from an iterate."""
        if self._model.penalty.l1:
            return orthants.fall_in_sight(now, self._weights)
        return lbfgs.fall_in_sight(now)

    def __call__(self, x: Floats64) -> tuple[float, Floats64]:
        """Return value and gradient, without l1."""
        self.evaluations += 1
        w = self.parameters(x)
        loss = self._model.gradient(w, *self._sample, out=self._buffer)
        penalty = self._smooth_penalty
        return loss + penalty.value(w), (self._buffer + penalty.slope(w)) / self.unit

    def parameters(self, x: Floats64) -> Floats:
        """Return the parameters of the model."""
        return (x / self.unit).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Minimum:
    """The end of a search for the parameters that minimise the objective on a sample."""

    parameters: Floats
    fall: (
        float | None
    )  # of the objective in sight, relative to it; None: unknown, or not at the end


def bytes_a_parameter(spec: ModelSpec) -> int:
    """Return the memory of `minimum` for each parameter: some thirty float64 numbers.

    With l1, there are copies of the steps among the parameters that move.
    """
    return 400 if spec.l1_factor else 240


def operations(model: LossModel, X: Matrix) -> int:
    """Return the multiply-adds of an evaluation of loss and gradient on rows ``X``.

    Those with sparse rows take longer, and count as more.
    """
    n_rows, n_features = X.shape
    values = _SPARSE_COST * X.nnz if isinstance(X, CsrMatrix) else n_rows * n_features
    n_outputs: int = max(1, model.n_parameters // (n_features + 1))
    return 2 * max(1, values) * n_outputs


def is_affordable(model: LossModel, X: Matrix) -> bool:
    """Return whether `minimum` comes close to the minimum in a few seconds."""
    evaluations = _MOST_OPERATIONS // operations(model, X)
    is_rounded = model.smoothed(1.0) is not None
    least = _LEAST_IN_STAGE * (len(_WIDTHS) + 1) if is_rounded else _LEAST_EVALUATIONS
    return model.n_parameters <= MOST_PARAMETERS and evaluations >= least


def minimum(model: LossModel, sample: Rows) -> Minimum:
    """Return the minimum of the objective on the sample, by L-BFGS.

    If the loss has kinks, or the work is too much, the parameters may be only near the minimum.
    Kinks are rounded at first, and then less and less: L-BFGS would come to rest at one of them.
    """
    first = w = model.initial_parameters()
    rounded = [each for each in map(model.smoothed, _WIDTHS) if each is not None]
    evaluations = _affordable_evaluations(model, sample[0], len(rounded))
    with np.errstate(all="ignore"):  # a search may try parameters that are too large
        for each in rounded:
            stage = SampleObjective(each, w, sample)
            w = stage.parameters(stage.descended(w, evaluations, _LEAST_FALL_OF_ROUNDED).x)
        objective = SampleObjective(model, w, sample)
        begin = objective.start(w)
        now = objective.descended(w, evaluations, _LEAST_FALL)
        found = objective.parameters(now.x)
        size = _SHARE_OF_FIRST * abs(begin.value) + abs(now.value)
        fall = objective.fall_in_sight(now)
    if not np.isfinite(found).all():
        return Minimum(first, None)
    is_known = objective.is_smooth and now.at_end and np.isfinite(fall) and size > 0
    return Minimum(found, fall / size if is_known else None)


def _affordable_evaluations(model: LossModel, X: Matrix, n_rounded: int) -> int:
    """Return the evaluations for which there is time, in each stage if kinks are rounded."""
    affordable = _MOST_OPERATIONS // operations(model, X)
    if not n_rounded:
        return max(_LEAST_EVALUATIONS, min(_MOST_EVALUATIONS, affordable))
    return max(_LEAST_IN_STAGE, min(_MOST_IN_STAGE, affordable // (n_rounded + 1)))


def largest_curvature(model: LossModel, w: Floats, sample: Rows) -> float:
    """Return the largest eigenvalue of the loss's Hessian at ``w``, about, by power iteration.

    0: it is unknown.
    """
    at_w, ahead = np.empty_like(w), np.empty_like(w)
    model.gradient(w, *sample, out=at_w)
    step = _STEP * _size(w, sample[0])
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


def _size(w: Floats, X: Matrix) -> float:
    """Return the size of parameters to which a step is small, in the unit that suits features."""
    squares = mean_squares(X)
    n_outputs = len(w) // (len(squares) + 1)
    of_all = np.append(np.tile(squares, n_outputs), np.ones(n_outputs))
    with np.errstate(all="ignore"):
        unit = float(np.sqrt(of_all.mean()))
        size = max(1.0, float(np.sqrt(w.astype(np.float64) ** 2 @ of_all))) / unit
    return size if 0 < size < np.inf else 1.0

"""A second opinion on a trained model: L-BFGS goes on from it, on a sample of the training rows.

If that lowers the objective, and the loss of the validation rows, which neither has seen, training
has not come to its end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from stepml.ml import lbfgs
from stepml.ml.matrices import CsrMatrix, Floats64
from stepml.ml.models.base import Array, Floats, LossModel, Matrix

Rows = tuple[Matrix, Array]  # features and targets

MOST_OPERATIONS = 4 * 10**9  # multiply-adds: a few seconds
# L-BFGS has some thirty float64 numbers for each, and works with all of them in each iteration.
MOST_PARAMETERS = 100_000
_MOST_EVALUATIONS, _LEAST_EVALUATIONS = 60, 10  # of loss and gradient
_LEAST_FALL = 1e-6  # relative, of the loss of the sample in one iteration
_MARGIN = 0.01  # relative: the loss is lower by more
_PARTS, _SURE = 20, 2.0  # of the validation rows; and by more than this many standard errors


@dataclass(frozen=True, slots=True)
class Better:
    """A better model than that of a job."""

    loss: float  # of the validation rows
    rows: int  # of the sample


def better_model(
    model: LossModel,
    w: Floats,
    sample: Rows,
    validation: Rows,
    least_fall: float = 0.0,
    most_operations: int = MOST_OPERATIONS,
    most_parameters: int = MOST_PARAMETERS,
) -> Better | None:
    """Return a better model, or None if none is found.

    Parameters
    ----------
    model : LossModel
    w : array of shape (n_parameters,)
        The trained parameters.
    sample, validation : rows
        Each at least one row.
    least_fall : float
        Smaller falls of the loss do not count.
    most_operations : int
        Multiply-adds with values of the sample. Models with which these are soon reached get no
        second opinion.
    most_parameters : int
        Nor do models with more parameters.
    """
    evaluations = min(_MOST_EVALUATIONS, most_operations // _operations(model, sample[0]))
    if evaluations < _LEAST_EVALUATIONS or len(w) > most_parameters:
        return None
    with np.errstate(all="ignore"):  # a search may try parameters that are too large
        before = _losses(model, w, validation)
        path = [_losses(model, each, validation) for each in _path(model, w, sample, evaluations)]
    loss = float(before.mean())
    best = min(
        (losses for losses in path if np.isfinite(losses).all()), key=np.mean, default=before
    )
    fall = float((before - best).mean())
    error = float((before - best).std()) / np.sqrt(len(best))
    is_sure = fall > max(_MARGIN * abs(loss), _SURE * error, least_fall)
    return Better(float(best.mean()), len(sample[1])) if is_sure else None


def _operations(model: LossModel, X: Matrix) -> int:
    """Return the multiply-adds of an evaluation of loss and gradient."""
    n_rows, n_features = X.shape
    values = X.nnz if isinstance(X, CsrMatrix) else n_rows * n_features
    n_outputs: int = max(1, model.n_parameters // (n_features + 1))
    return 2 * max(1, values) * n_outputs


def _path(model: LossModel, w: Floats, sample: Rows, evaluations: int) -> Iterator[Floats]:
    """Yield some points of the path, as its end may fit the sample too well.

    The objective is lower there by more than the margin: with a penalty, the validation loss may
    fall near the minimum by chance.
    """
    objective = _Objective(model, w, sample)
    now, shown = lbfgs.start(objective, w * objective.unit), 2
    low = now.value - _MARGIN * abs(now.value)
    while not now.at_end and objective.evaluations < evaluations:
        now = lbfgs.advance(objective, now, tolerance=0.0, least_fall=_LEAST_FALL)
        if objective.evaluations >= shown and now.value < low:
            shown = 2 * objective.evaluations
            yield objective.parameters(now.x)
    if now.value < low:
        yield objective.parameters(now.x)


class _Objective:
    """Mean loss and penalty of the sample, of parameters in units of their curvature.

    With them, features of any scale are learnt alike. Parameters at a kink of the penalty rest.
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
        self.evaluations += 1
        w = self.parameters(x)
        loss = self._model.gradient(w, *self._sample, out=self._buffer)
        penalty = self._model.penalty
        gradient = np.where(self._moves, self._buffer + penalty.slope(w), 0.0)
        return loss + penalty.value(w), gradient / self.unit

    def parameters(self, x: Floats64) -> Floats:
        """Return the parameters of the model."""
        return (x / self.unit).astype(np.float32)


def _losses(model: LossModel, w: Floats, rows: Rows) -> Floats64:
    """Return the mean loss of each part of the rows, weighted so that their mean is that of all."""
    X, y = rows
    n = min(_PARTS, len(y))
    cuts = [len(y) * number // n for number in range(n + 1)]
    parts = [slice(*cuts[number : number + 2]) for number in range(n)]
    weights = np.array([part.stop - part.start for part in parts]) * n / len(y)
    return weights * [model.evaluate(w, X[part], y[part]).loss for part in parts]

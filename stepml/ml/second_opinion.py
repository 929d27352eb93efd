"""A second opinion on a trained model: L-BFGS goes on from it, on a sample of the training rows.

If that lowers the objective, and the loss of the validation rows, which neither has seen, training
has not come to its end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from stepml.ml.matrices import Floats64
from stepml.ml.models.base import Floats, LossModel
from stepml.ml.models.row_weights import total_weight
from stepml.ml.sample_objective import MOST_PARAMETERS, Rows, SampleObjective, operations

MOST_OPERATIONS = 4 * 10**9  # multiply-adds: a few seconds
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
    evaluations = min(_MOST_EVALUATIONS, most_operations // operations(model, sample[0]))
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


def _path(model: LossModel, w: Floats, sample: Rows, evaluations: int) -> Iterator[Floats]:
    """Yield some points of the path, as its end may fit the sample too well.

    The objective is lower there by more than the margin: with a penalty, the validation loss may
    fall near the minimum by chance.
    """
    objective = SampleObjective(model, w, sample)
    now, shown = objective.start(w), 2
    low = now.value - _MARGIN * abs(now.value)
    while not now.at_end and objective.evaluations < evaluations:
        now = objective.advance(now, _LEAST_FALL)
        if objective.evaluations >= shown and now.value < low:
            shown = 2 * objective.evaluations
            yield objective.parameters(now.x)
    if now.value < low:
        yield objective.parameters(now.x)


def _losses(model: LossModel, w: Floats, rows: Rows) -> Floats64:
    """Return the mean loss of each part of the rows, weighted so that their mean is that of all."""
    X, y = rows
    n = min(_PARTS, len(y))
    cuts = [len(y) * number // n for number in range(n + 1)]
    parts = [slice(*cuts[number : number + 2]) for number in range(n)]
    sizes = np.array([total_weight(y[part]) for part in parts])
    weights = sizes * n / total_weight(y)
    return weights * [model.evaluate(w, X[part], y[part]).loss for part in parts]

"""Metrics of predictions. Sums are float64."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stepml.ml.matrices import Floats, Floats64
from stepml.ml.models.base import Array
from stepml.ml.models.confusion import PerClass, count_classes

Mask = npt.NDArray[np.bool_]


def binary_metrics(
    scores: Array, positive: Mask, weights: Floats | None = None
) -> dict[str, float]:
    """Return the metrics of two classes.

    They are ``accuracy``; ``precision``, ``recall`` and ``f1`` of the positive class; if there are
    rows of both classes, ``auc`` and ``average_precision`` as well.

    Parameters
    ----------
    scores : array of shape (n_samples,)
        Above 0 where a row is taken for one of the positive class.
    positive : bool array of shape (n_samples,)
        Which rows are of the positive class.
    weights : array of shape (n_samples,), optional
        Of the rows, not all 0. Rows of weight 0 count as absent.
    """
    predicted = scores > 0
    found = {"accuracy": accuracy(predicted, positive, weights)}
    present = positive if weights is None else positive[weights > 0]
    if 0 < np.count_nonzero(present) < len(present):
        ranking = Ranking.of(scores, positive, weights)
        found |= {"auc": ranking.auc, "average_precision": ranking.average_precision}
    return found | PerClass.of(count_classes(positive, predicted, 2, weights)).metrics_of(1)


def multiclass_metrics(
    own: Array, predicted: Array, n_classes: int, weights: Floats | None = None
) -> dict[str, float]:
    """Return ``accuracy``, and the means over the classes of ``precision``, ``recall``, ``f1``.

    Parameters
    ----------
    own, predicted : array of integers of shape (n_samples,)
        Indices of classes.
    n_classes : int
    weights : array of shape (n_samples,), optional
        Of the rows, not all 0.
    """
    per_class = PerClass.of(count_classes(own, predicted, n_classes, weights))
    return {"accuracy": accuracy(predicted, own, weights)} | per_class.mean_metrics()


def regression_metrics(
    predicted: Array, labels: Array, weights: Floats | None = None
) -> dict[str, float]:
    """Return ``rmse``, ``mae`` and, if the labels are not all equal, ``r2``.

    ``weights`` are those of the rows, (n_samples,), not all 0.
    """
    found = {"rmse": rmse(predicted, labels, weights), "mae": mae(predicted, labels, weights)}
    present = labels if weights is None else labels[weights > 0]
    if len(present) and present.min() < present.max():
        found["r2"] = r2(predicted, labels, weights)
    return found


def accuracy(predicted: Array, expected: Array, weights: Floats | None = None) -> float:
    """Return the share of rows with the right class."""
    if weights is None:
        return float(np.count_nonzero(predicted == expected)) / len(expected)
    return _mean(predicted == expected, weights)


@dataclass(frozen=True, slots=True)
class Ranking:
    """Rows of two classes in ascending order of their scores, in runs of ties."""

    positives: Floats64  # (n_runs,) rows of the positive class in each run; some are
    negatives: Floats64  # (n_runs,) the others; there are some

    @classmethod
    def of(cls, scores: Array, positive: Mask, weights: Floats | None = None) -> Ranking:
        """Return the ranking of rows with ``scores`` and weights, of shape (n_samples,)."""
        order = np.argsort(scores)
        ranked, hits = scores[order], positive[order]
        ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)
        if weights is None:
            positives = np.cumsum(hits)[ends].astype(np.float64)
            gained = np.diff(positives, prepend=0)
            return cls(gained, np.diff(ends + 1 - positives, prepend=0))
        own = weights[order].astype(np.float64)
        sides = (np.cumsum(own * side)[ends] for side in (hits, ~hits))
        return cls(*(np.diff(each, prepend=0) for each in sides))

    @property
    def auc(self) -> float:
        """The probability that a positive row scores above a negative one; ties count half.

        That is the area under the ROC curve (Hanley and McNeil, 1982).
        """
        below = np.cumsum(self.negatives) - self.negatives / 2
        return float(self.positives @ below / (self.positives.sum() * self.negatives.sum()))

    @property
    def average_precision(self) -> float:
        """The mean, over the positive rows, of the precision among rows that score as high."""
        found, rows = self.positives[::-1], (self.positives + self.negatives)[::-1]
        # The first rows may have the weight 0.
        precision = np.cumsum(found) / np.maximum(np.cumsum(rows), np.finfo(np.float64).tiny)
        return float(found @ precision / self.positives.sum())


def rmse(predicted: Array, labels: Array, weights: Floats | None = None) -> float:
    """Return the root of the mean squared error, in units of the labels."""
    return float(np.sqrt(_mean(_squared_errors(predicted, labels), weights)))


def mae(predicted: Array, labels: Array, weights: Floats | None = None) -> float:
    """Return the mean absolute error, in units of the labels."""
    return _mean(np.abs(np.subtract(predicted, labels, dtype=np.float64)), weights)


def r2(predicted: Array, labels: Array, weights: Floats | None = None) -> float:
    """Return the share of the labels' variance that the predictions explain.

    1 is perfect, 0 as good as the mean of ``labels``, which must not be all the same.
    """
    errors = _squared_errors(predicted, labels)
    if weights is None:
        mean = np.mean(labels, dtype=np.float64)
        return float(1 - np.sum(errors) / np.sum(np.square(labels - mean)))
    deviations = np.square(labels - _mean(labels, weights))
    return 1 - _mean(errors, weights) / _mean(deviations, weights)


def _mean(values: Array, weights: Floats | None) -> float:
    if weights is None:
        return float(np.mean(values))
    return float(np.average(values, weights=weights.astype(np.float64)))


def _squared_errors(predicted: Array, labels: Array) -> npt.NDArray[np.float64]:
    return np.square(np.subtract(predicted, labels, dtype=np.float64))

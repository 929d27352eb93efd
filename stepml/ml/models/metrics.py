"""Metrics of predictions. Sums are float64."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stepml.ml.models.base import Array

Mask = npt.NDArray[np.bool_]


def binary_metrics(scores: Array, positive: Mask) -> dict[str, float]:
    """Return ``accuracy`` and, if there are rows of both classes, ``auc``.

    Parameters
    ----------
    scores : array of shape (n_samples,)
        Above 0 where a row is taken for one of the positive class.
    positive : bool array of shape (n_samples,)
        Which rows are of the positive class.
    """
    found = {"accuracy": accuracy(scores > 0, positive)}
    if 0 < np.count_nonzero(positive) < len(positive):
        found["auc"] = auc(scores, positive)
    return found


def regression_metrics(predicted: Array, labels: Array) -> dict[str, float]:
    """Return ``rmse`` and, if the labels are not all equal, ``r2``."""
    found = {"rmse": rmse(predicted, labels)}
    if np.ptp(labels) > 0:
        found["r2"] = r2(predicted, labels)
    return found


def accuracy(predicted: Array, expected: Array) -> float:
    """Return the share of rows with the right class."""
    return float(np.count_nonzero(predicted == expected)) / len(expected)


def auc(scores: Array, positive: Mask) -> float:
    """Return the probability that a positive row scores above a negative one; ties count half.

    That is the area under the ROC curve (Hanley and McNeil, 1982).

    Parameters
    ----------
    scores : array of shape (n_samples,)
    positive : bool array of shape (n_samples,), with rows of both classes
    """
    order = np.argsort(scores)
    ranked, hits = scores[order], positive[order]
    ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)
    positives = np.cumsum(hits)[ends].astype(np.float64)  # up to the end of each run of ties
    negatives = ends + 1 - positives
    gained = np.diff(positives, prepend=0)
    below = negatives - np.diff(negatives, prepend=0) / 2
    return float(gained @ below / (positives[-1] * negatives[-1]))


def rmse(predicted: Array, labels: Array) -> float:
    """Return the root of the mean squared error, in units of the labels."""
    return float(np.sqrt(np.mean(_squared_errors(predicted, labels))))


def r2(predicted: Array, labels: Array) -> float:
    """Return the share of the labels' variance that the predictions explain.

    1 is perfect, 0 as good as the mean of ``labels``, which must not be all the same.
    """
    mean = np.mean(labels, dtype=np.float64)
    total = np.sum(np.square(labels - mean))
    return float(1 - np.sum(_squared_errors(predicted, labels)) / total)


def _squared_errors(predicted: Array, labels: Array) -> npt.NDArray[np.float64]:
    return np.square(np.subtract(predicted, labels, dtype=np.float64))

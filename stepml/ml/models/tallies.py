"""Sums over rows from which a model's quality follows, so that slices of rows can be added."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stepml.ml.matrices import Floats64
from stepml.ml.models.base import Array, Evaluation, Floats
from stepml.ml.models.confusion import (
    MOST_CLASSES_COUNTED,
    Counts,
    PerClass,
    Totals,
    count_classes,
)

Sums = Floats64

TOP = 5
_ROUNDING = 1e-14  # of a difference of sums, relative to them


def tally_classes(
    loss: float, outputs: Floats, own: Array, n_classes: int, weights: Floats | None = None
) -> Sums:
    """Return the sums of rows with one of several classes.

    Parameters
    ----------
    loss : float
        Mean over the rows, each times its weight.
    outputs : array of shape (n_samples, n_classes)
        The largest one is that of the predicted class, the first of equal ones.
    own : array of integers of shape (n_samples,)
        Indices of the rows' classes.
    n_classes : int
    weights : array of shape (n_samples,), optional
        Of the rows.

    Returns
    -------
    array of float64
        The rows, the sum of losses, the rows whose class is among the `TOP` largest outputs; then
        `count_classes`; with more than `MOST_CLASSES_COUNTED` classes, only the rows of each, the
        rows predicted to be of it, and those that are both. With weights, all of these are sums of
        weights; behind them, the last ones follow again as numbers of rows.
    """
    predicted = outputs.argmax(axis=1)
    counted, in_top = _counted(own, predicted, n_classes), are_in_top(outputs, own)
    if weights is None:
        sums = [len(own), loss * len(own), np.count_nonzero(in_top)]
        return np.concatenate([sums, counted]).astype(np.float64)
    sums = [weights.sum(dtype=np.float64), loss * len(own), weights @ in_top]
    by_weight = _counted(own, predicted, n_classes, weights)
    return np.concatenate([sums, by_weight, counted]).astype(np.float64)


def are_in_top(outputs: Array, own: Array) -> npt.NDArray[np.bool_]:
    """Return for each row whether its class is among the `TOP` largest outputs.

    Parameters
    ----------
    outputs : array of shape (n_samples, n_classes)
        Of equal ones, the first count as larger.
    own : array of integers of shape (n_samples,)
    """
    of_own = outputs[np.arange(len(own)), own][:, None]
    ties = (outputs == of_own) & (np.arange(outputs.shape[1]) < own[:, None])
    found: npt.NDArray[np.bool_] = ((outputs > of_own) | ties).sum(axis=1) < TOP
    return found


def _counted(own: Array, predicted: Array, n_classes: int, weights: Floats | None = None) -> Array:
    if n_classes <= MOST_CLASSES_COUNTED:
        return count_classes(own, predicted, n_classes, weights).reshape(-1)
    hits = predicted == own
    right = None if weights is None else weights[hits]
    of_classes = ((own, weights), (predicted, weights), (own[hits], right))
    counted = [np.bincount(each, factors, minlength=n_classes) for each, factors in of_classes]
    return np.concatenate(counted)


def _n_counted(n_classes: int) -> int:
    return n_classes**2 if n_classes <= MOST_CLASSES_COUNTED else 3 * n_classes


def counts_of(sums: Sums, n_classes: int) -> Counts | None:
    """Return `count_classes` by `tally_classes`; None with more classes than are counted."""
    if n_classes > MOST_CLASSES_COUNTED:
        return None
    return sums[-(n_classes**2) :].reshape(n_classes, n_classes).astype(np.int64)


def totals_of(sums: Sums, n_classes: int) -> Totals:
    """Return the rows of each class by `tally_classes`."""
    return _totals(sums[-_n_counted(n_classes) :].astype(np.int64), n_classes)


def _totals(counted: Array, n_classes: int) -> Totals:
    if n_classes > MOST_CLASSES_COUNTED:
        return Totals(*counted.reshape(3, n_classes))
    return Totals.of(counted.reshape(n_classes, n_classes))


def quality_of_classes(sums: Sums, n_classes: int) -> Evaluation:
    """Return the quality by `tally_classes`."""
    rows, loss, in_top = sums[:3]
    if not rows:  # nothing counts
        return Evaluation(0.0)
    totals = _totals(sums[3 : 3 + _n_counted(n_classes)], n_classes)
    per_class = PerClass.of_totals(totals)
    metrics = {"accuracy": float(totals.right.sum() / rows)} | per_class.mean_metrics()
    if n_classes > TOP:
        metrics["top5_accuracy"] = float(in_top / rows)
    return Evaluation(float(loss / rows), metrics)


def tally_numbers(
    loss: float,
    predicted: Floats,
    labels: Floats,
    origin: float = 0.0,
    weights: Floats | None = None,
) -> Sums:
    """Return the sums of rows with numbers as labels.

    They are the rows, and the sums of losses, squared errors, errors without sign, labels and
    squared labels; labels count from ``origin``, about their mean, for the sake of digits. With
    ``weights``, all are sums of weighted rows.
    """
    errors = np.subtract(predicted, labels, dtype=np.float64)
    wide, loss_sum = labels.astype(np.float64) - origin, loss * len(labels)
    absolute = np.abs(errors)
    if weights is None:
        sums = [errors @ errors, absolute.sum(), wide.sum(), wide @ wide]
        return np.array([len(labels), loss_sum, *sums])
    own = weights.astype(np.float64)
    sums = [own @ each for each in (errors**2, absolute, wide, wide**2)]
    return np.array([own.sum(), loss_sum, *sums])


def quality_of_numbers(sums: Sums) -> Evaluation:
    """Return the quality by `tally_numbers`."""
    rows, loss, squares, absolute, labels, squared_labels = sums.tolist()
    if not rows:  # nothing counts
        return Evaluation(0.0)
    metrics = {"rmse": (squares / rows) ** 0.5, "mae": absolute / rows}
    total = squared_labels - labels**2 / rows
    if total > _ROUNDING * squared_labels:  # otherwise the labels are all equal
        metrics["r2"] = 1 - squares / total
    return Evaluation(loss / rows, metrics)

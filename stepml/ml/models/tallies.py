"""Sums over rows from which a model's quality follows, so that slices of rows can be added."""

from __future__ import annotations

import numpy as np

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


def tally_classes(loss: float, outputs: Floats, own: Array, n_classes: int) -> Sums:
    """Return the sums of rows with one of several classes.

    Parameters
    ----------
    loss : float
        Mean over the rows.
    outputs : array of shape (n_samples, n_classes)
        The largest one is that of the predicted class, the first of equal ones.
    own : array of integers of shape (n_samples,)
        Indices of the rows' classes.
    n_classes : int

    Returns
    -------
    array of float64
        The rows, the sum of losses, the rows whose class is among the `TOP` largest outputs; then
        `count_classes`; with more than `MOST_CLASSES_COUNTED` classes, only the rows of each, the
        rows predicted to be of it, and those that are both.
    """
    counted = _counted(own, outputs.argmax(axis=1), n_classes)
    sums = [len(own), loss * len(own), count_in_top(outputs, own)]
    return np.concatenate([sums, counted]).astype(np.float64)


def count_in_top(outputs: Array, own: Array) -> int:
    """Return the number of rows whose class is among the `TOP` largest outputs.

    Parameters
    ----------
    outputs : array of shape (n_samples, n_classes)
        Of equal ones, the first count as larger.
    own : array of integers of shape (n_samples,)
    """
    of_own = outputs[np.arange(len(own)), own][:, None]
    ties = (outputs == of_own) & (np.arange(outputs.shape[1]) < own[:, None])
    return int(np.count_nonzero(((outputs > of_own) | ties).sum(axis=1) < TOP))


def _counted(own: Array, predicted: Array, n_classes: int) -> Array:
    if n_classes <= MOST_CLASSES_COUNTED:
        return count_classes(own, predicted, n_classes).reshape(-1)
    each_class = (own, predicted, own[predicted == own])
    return np.concatenate([np.bincount(each, minlength=n_classes) for each in each_class])


def counts_of(sums: Sums, n_classes: int) -> Counts | None:
    """Return `count_classes` by `tally_classes`; None with more classes than are counted."""
    if n_classes > MOST_CLASSES_COUNTED:
        return None
    return sums[3:].reshape(n_classes, n_classes).astype(np.int64)


def totals_of(sums: Sums, n_classes: int) -> Totals:
    """Return the rows of each class by `tally_classes`."""
    counts = counts_of(sums, n_classes)
    if counts is not None:
        return Totals.of(counts)
    return Totals(*sums[3:].reshape(3, n_classes).astype(np.int64))


def quality_of_classes(sums: Sums, n_classes: int) -> Evaluation:
    """Return the quality by `tally_classes`."""
    rows, loss, in_top = sums[:3]
    totals = totals_of(sums, n_classes)
    per_class = PerClass.of_totals(totals)
    metrics = {"accuracy": float(totals.right.sum() / rows)} | per_class.mean_metrics()
    if n_classes > TOP:
        metrics["top5_accuracy"] = float(in_top / rows)
    return Evaluation(float(loss / rows), metrics)


def tally_numbers(loss: float, predicted: Floats, labels: Floats, origin: float = 0.0) -> Sums:
    """Return the sums of rows with numbers as labels.

    They are the rows, and the sums of losses, squared errors, errors without sign, labels and
    squared labels; labels count from ``origin``, about their mean, for the sake of digits.
    """
    errors = np.subtract(predicted, labels, dtype=np.float64)
    wide = labels.astype(np.float64) - origin
    return np.array(
        [
            len(labels),
            loss * len(labels),
            errors @ errors,
            np.abs(errors).sum(),
            wide.sum(),
            wide @ wide,
        ]
    )


def quality_of_numbers(sums: Sums) -> Evaluation:
    """Return the quality by `tally_numbers`."""
    rows, loss, squares, absolute, labels, squared_labels = sums.tolist()
    metrics = {"rmse": (squares / rows) ** 0.5, "mae": absolute / rows}
    total = squared_labels - labels**2 / rows
    if total > _ROUNDING * squared_labels:  # otherwise the labels are all equal
        metrics["r2"] = 1 - squares / total
    return Evaluation(loss / rows, metrics)

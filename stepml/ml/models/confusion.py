"""Counts of rows by their class and their predicted class, and the metrics that follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stepml.job.reports import ClassQuality
from stepml.job.spec_base import Label
from stepml.ml.matrices import Floats, Floats64

# A matrix of more classes is too large for reports.
MOST_CLASSES_COUNTED = 100

Counts = npt.NDArray[Any]  # integers; sums of weights are float64
_Indices = npt.NDArray[Any]


def count_classes(
    own: _Indices, predicted: _Indices, n_classes: int, weights: Floats | None = None
) -> Counts:
    """Return the number of rows of each class (rows) with each predicted class (columns).

    With ``weights`` of the rows, (n_samples,), it is the sum of these.

    Parameters
    ----------
    own, predicted : array of integers of shape (n_samples,)
        Indices of classes.
    n_classes : int
    """
    pairs = own.astype(np.intp) * n_classes + predicted
    counts = np.bincount(pairs, weights, minlength=n_classes**2)
    return counts.reshape(n_classes, n_classes)


def rows_of(counts: Counts) -> Counts:
    """Return the rows of each class by `count_classes`."""
    rows: Counts = counts.sum(axis=1)
    return rows


def predictions_of(counts: Counts) -> Counts:
    """Return the rows with each prediction by `count_classes`."""
    rows: Counts = counts.sum(axis=0)
    return rows


@dataclass(frozen=True, slots=True)
class Totals:
    """The rows of each class, (n_classes,): of it, predicted to be of it, and both."""

    rows: Counts
    predicted: Counts
    right: Counts

    @classmethod
    def of(cls, counts: Counts) -> Totals:
        """Return the totals of `count_classes`."""
        return cls(rows_of(counts), predictions_of(counts), np.diag(counts))


@dataclass(frozen=True, slots=True)
class PerClass:
    """The quality of the predictions of each class; 0 where a share of no rows is asked for."""

    precision: Floats64  # (n_classes,) share of the rows with this prediction that are right
    recall: Floats64  # (n_classes,) share of the rows of this class that are found
    f1: Floats64  # (n_classes,) harmonic mean of both
    support: Counts  # (n_classes,) rows of this class
    is_present: npt.NDArray[np.bool_]  # (n_classes,) some row is of the class, or predicted so

    @classmethod
    def of(cls, counts: Counts) -> PerClass:
        """Return the quality by `count_classes`."""
        return cls.of_totals(Totals.of(counts))

    @classmethod
    def of_totals(cls, totals: Totals) -> PerClass:
        """Return the quality by the rows of each class."""
        right, support, predicted = totals.right, totals.rows, totals.predicted
        return cls(
            precision=_shares(right, predicted),
            recall=_shares(right, support),
            f1=_shares(2 * right, support + predicted),
            support=support,
            is_present=support + predicted > 0,
        )

    def metrics_of(self, place: int) -> dict[str, float]:
        """Return the metrics of one class."""
        shares = {"precision": self.precision, "recall": self.recall, "f1": self.f1}
        return {name: float(values[place]) for name, values in shares.items()}

    def mean_metrics(self) -> dict[str, float]:
        """Return the unweighted means over the classes that are present."""
        shares = {"precision": self.precision, "recall": self.recall, "f1": self.f1}
        return {name: float(values[self.is_present].mean()) for name, values in shares.items()}

    def table(self, labels: Sequence[Label]) -> list[ClassQuality]:
        """Return a row for each class, given their labels as in the data."""
        columns = zip(labels, self.precision, self.recall, self.f1, self.support, strict=True)
        return [
            ClassQuality(label, float(precision), float(recall), float(f1), int(support))
            for label, precision, recall, f1, support in columns
        ]


def _shares(parts: Counts, wholes: Counts) -> Floats64:
    """Return parts of wholes; 0 where there is nothing."""
    return np.divide(parts, wholes, out=np.zeros(len(wholes)), where=wholes > 0)

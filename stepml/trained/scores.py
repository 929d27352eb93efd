"""Scores of predictions, as scikit-learn's estimators give them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from stepml.ml.models import metrics
from stepml.trained.numbers import Array, vector


def weights_of(sample_weight: Any, n_rows: int) -> Array | None:
    """Return the weights of rows, or None if there are none; `ValueError` if they are invalid."""
    if sample_weight is None:
        return None
    weights = vector(sample_weight, n_rows, "sample_weight").astype(np.float64)
    if not weights.sum() > 0:
        raise ValueError(f"expected sample_weight with a sum above 0, got {weights.sum():g}")
    return weights


def accuracy(predicted: Array, expected: Array, weights: Array | None) -> float:
    """Return the share of rows, or of their weights, with the right class."""
    if weights is None:
        return metrics.accuracy(predicted, expected)
    return float(np.average(predicted == expected, weights=weights))


def r2(predicted: Array, labels: Array, weights: Array | None) -> float:
    """Return R²; NaN and a warning for a single row.

    If the labels are all the same, it is 1 for correct predictions and 0 for others.
    """
    if len(labels) < 2:
        warnings.warn("R² needs at least two rows", UserWarning, stacklevel=2)
        return float("nan")
    if np.ptp(labels) == 0:
        return float((predicted == labels).all())
    factors = 1.0 if weights is None else weights
    wide = labels.astype(np.float64)
    errors = np.sum(factors * np.square(wide - predicted))
    return float(1 - errors / np.sum(factors * np.square(wide - np.average(wide, weights=weights))))

"""Targets of rows with weights.

The targets of rows are an array. Those of rows with weights are an array of records of target and
weight. So algorithms cut both in the same way, and only models tell them apart. Weights have a mean
of 1 over all training rows: sums of weighted losses, divided by the number of rows, are comparable
with those of rows without weights.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import numpy as np

from stepml.ml.class_names import as_stored
from stepml.ml.matrices import Floats, Matrix, transposed_product
from stepml.ml.models.base import Array, DataFacts, Model

_TARGET, _WEIGHT = "target", "weight"


class LabelledRows(Protocol):
    """Rows whose labels, and weights if they have any, are known."""

    @property
    def y(self) -> Floats: ...
    @property
    def weights(self) -> Floats | None: ...


def targets_on(model: Model, rows: LabelledRows, part: slice = slice(None)) -> Array:
    """Return the targets of a ``part`` of the rows, with their weights."""
    weights = None if rows.weights is None else rows.weights[part]
    return weighted(model.targets(rows.y[part]), weights)


def weighted(targets: Array, weights: Floats | None) -> Array:
    """Return the targets of rows with ``weights``, both of shape (n_samples,).

    None: rows have no weights, and their targets stay as they are.
    """
    if weights is None:
        return targets
    records = np.empty(len(targets), [(_TARGET, targets.dtype), (_WEIGHT, np.float32)])
    records[_TARGET], records[_WEIGHT] = targets, weights
    return records


def parts_of(y: Array) -> tuple[Array, Floats | None]:
    """Return the targets, and the weights of rows that have them; see `weighted`."""
    if y.dtype.names is None:
        return y, None
    return y[_TARGET], y[_WEIGHT]


def targets_of(y: Array) -> Array:
    """Return the targets without weights."""
    return parts_of(y)[0]


def total_weight(y: Array) -> float:
    """Return the sum of the rows' weights: without weights, the number of rows."""
    weights = parts_of(y)[1]
    return float(len(y)) if weights is None else float(weights.sum(dtype=np.float64))


def scaled_weights(weights: Floats | None, mean: float) -> Floats | None:
    """Return weights in units of their ``mean`` over the training rows."""
    return None if weights is None else weights / np.float32(mean)


def mean_of(values: Array, weights: Floats | None) -> float:
    """Return the mean of rows' values, by their weights if they have any; 0 if all are 0."""
    if weights is None:
        return float(np.mean(values))
    total = float(weights.sum(dtype=np.float64))
    return float(weights.astype(np.float64) @ values) / total if total else 0.0


def facts_by_weight(
    facts: DataFacts, X: Matrix, labels: Floats, weights: Floats | None
) -> DataFacts:
    """Return facts with the means and the labels' shares of some rows, by their weights.

    Parameters
    ----------
    facts : DataFacts
        They stay as they are if the rows have no weights, or all are 0.
    X : matrix of shape (n_samples, n_features)
    labels, weights : array of shape (n_samples,)
    """
    total = 0.0 if weights is None else float(weights.sum(dtype=np.float64))
    if weights is None or not total > 0:
        return facts
    mean_row = np.empty(X.shape[1], np.float32)
    transposed_product(X, weights, mean_row)
    mean_row /= np.float32(total)
    mean = float(np.dot(labels.astype(np.float64), weights) / total)
    by_label = None
    if facts.labels is not None:
        known = np.array([as_stored(each) for each in facts.labels], np.float32)
        places = np.searchsorted(known, labels).clip(max=len(known) - 1)
        by_label = np.bincount(places, weights, len(known)).tolist()
    return replace(facts, label_mean=mean, mean_row=mean_row, label_weights=by_label)

"""Logistic regression: one class against the rest."""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np

from stepml.ml.matrices import Floats64
from stepml.ml.models.base import Array, Evaluation, Floats, Matrix
from stepml.ml.models.classifiers import BinaryClassifier
from stepml.ml.models.row_weights import parts_of, weighted

_FAR = 44.0  # exp(16 · 44) is below the largest float64, exp(44) far below that of float32
_FACTORS = 16
_ONE = np.float32(1)

_Any = TypeVar("_Any", Floats, Floats64)


class LogisticRegression(BinaryClassifier):
    """Loss log(1 + exp(-z)) of a positive row with decision value z, log(1 + exp(z)) of others."""

    most_curvature = 0.25

    def probabilities(self, w: Floats, X: Matrix) -> Floats64:
        """Return the probability of each class, (n_samples, 2), in the order of `classes`."""
        z = self.decision(w, X).astype(np.float64)
        positive_first = self.classes[0] == self.positive and self.negative is not None
        sides = (z, -z) if positive_first else (-z, z)
        return np.stack([_sigmoid(side) for side in sides], axis=1)

    def evaluate(self, w: Floats, X: Matrix, y: Array) -> Evaluation:
        found = super().evaluate(w, X, y)
        if not found.metrics:
            return found
        if self.weights is None:
            return found.with_metric("log_loss", found.loss)
        alike = LogisticRegression(self.n_features, self.positive, self.negative)
        targets, row_weights = parts_of(y)
        sides = weighted(np.copysign(_ONE, targets), row_weights)
        return found.with_metric("log_loss", alike.evaluate(w, X, sides).loss)

    def _decision_at(self, share: float) -> float | None:
        return math.log(share / (1 - share)) if 0 < share < 1 else None

    def _differentiate(self, z: Floats, y: Array, weights: Floats | None) -> float:
        y, has_factors = self._factored(y, weights)
        if not np.maximum.reduce(np.abs(z)) < _FAR:
            return _differentiate_anywhere(z, y)
        z *= np.copysign(_ONE, y) if has_factors else y
        np.negative(z, out=z)  # positive on the side of the other class
        odds = np.exp(z, out=z)
        loss = float(np.log1p(odds) @ np.abs(y)) if has_factors else _log1p_sum(odds)
        odds /= np.subtract(-1, odds)
        odds *= y
        return loss


def _differentiate_anywhere(z: Floats, y: Array) -> float:
    """Differentiate at decision values of any size, in twice the time."""
    wrong = z * -np.copysign(_ONE, y)
    losses = np.maximum(wrong, 0) + np.log1p(np.exp(-np.abs(wrong)))
    np.multiply(_sigmoid(wrong), -y, out=z)
    return float(losses @ np.abs(y))


def _log1p_sum(x: Floats) -> float:
    """Return Σ log(1 + x) for 0 ≤ x ≤ exp(_FAR).

    The logarithm of a product is faster than a sum of logarithms, and as exact in float64.
    """
    factors = np.add(x, 1, dtype=np.float64)
    products = np.multiply.reduceat(factors, np.arange(0, len(x), _FACTORS))
    return float(np.add.reduce(np.log(products)))


def _sigmoid(z: _Any) -> _Any:
    """Return 1 / (1 + exp(-z)), with all digits also of small values."""
    chances: _Any = np.exp(np.minimum(z, 0)) / (1 + np.exp(-np.abs(z)))
    return chances

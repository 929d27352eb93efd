"""Logistic regression: one class against the rest."""

from __future__ import annotations

import numpy as np

from stepml.ml.models.base import Array, Floats, Matrix
from stepml.ml.models.classifiers import BinaryClassifier


class LogisticRegression(BinaryClassifier):
    """Loss log(1 + exp(-z)) for the decision value z of a positive row, of a negative one at -z."""

    def probabilities(self, w: Floats, X: Matrix) -> Floats:
        """Return the probability of each class, (n_samples, 2), in the order of `classes`."""
        z = self.decision(w, X)
        positive_first = self.classes[0] == self.positive and self.negative is not None
        sides = (z, -z) if positive_first else (-z, z)
        return np.stack([_sigmoid(side) for side in sides], axis=1)

    def _differentiate(self, z: Floats, y: Array) -> float:
        wrong = z * -np.copysign(np.float32(1), y)  # how far a row is on the other class's side
        decay = np.exp(-np.abs(wrong))  # in (0, 1]: never overflows
        losses = np.log1p(decay)
        losses += np.maximum(wrong, 0)
        if self.weights is not None:
            losses *= np.abs(y)
        np.multiply(_sigmoid(wrong), -y, out=z)
        return float(losses.sum(dtype=np.float64))


def _sigmoid(z: Floats) -> Floats:
    """Return 1 / (1 + exp(-z)), to the last digits also where it is small."""
    chances: Floats = np.exp(np.minimum(z, 0)) / (1 + np.exp(-np.abs(z)))
    return chances

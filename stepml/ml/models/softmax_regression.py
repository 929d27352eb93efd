"""Softmax regression: several classes."""

from __future__ import annotations

import numpy as np

from stepml.ml.matrices import Floats64
from stepml.ml.models.base import Array, Evaluation, Floats, Matrix
from stepml.ml.models.classifiers import MulticlassClassifier


class SoftmaxRegression(MulticlassClassifier):
    """Loss -log(exp(z_c) / Σ_k exp(z_k)) of a row of class c with decision values z."""

    most_curvature = 0.25

    def probabilities(self, w: Floats, X: Matrix) -> Floats64:
        """Return the probability of each class, (n_samples, n_classes)."""
        z = self.decision(w, X).astype(np.float64)
        z -= z.max(axis=1, keepdims=True)
        np.exp(z, out=z)
        z /= z.sum(axis=1, keepdims=True)
        return z

    def evaluate(self, w: Floats, X: Matrix, y: Array) -> Evaluation:
        found = super().evaluate(w, X, y)
        if not found.metrics:
            return found
        if self.weights is None:
            return found.with_metric("log_loss", found.loss)
        alike = SoftmaxRegression(self.n_features, self.classes)
        return found.with_metric("log_loss", alike.evaluate(w, X, y).loss)

    def _decisions_at(self, shares: Floats) -> Floats | None:
        return np.log(shares) if shares.all() else None

    def _differentiate(self, z: Floats, y: Array, weights: Floats | None) -> float:
        own = np.arange(len(y)), y
        z -= z.max(axis=1, keepdims=True)  # the largest exponential is 1: nothing overflows
        lead = z[own]
        np.exp(z, out=z)
        sums = z.sum(axis=1)
        losses = np.log(sums) - lead
        z /= sums[:, None]
        z[own] -= 1
        factors = self._factors_of(y, weights)
        if factors is not None:
            losses *= factors
            z *= factors[:, None]
        return float(losses.sum(dtype=np.float64))

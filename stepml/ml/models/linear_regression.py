"""Linear regression: least squares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from stepml.job import models as specs
from stepml.ml.models.base import Array, DataFacts, Floats
from stepml.ml.models.linear import LinearModel
from stepml.ml.models.metrics import regression_metrics


class LinearRegression(LinearModel):
    """Loss (z - y)²/2 of a row with label y and decision value z, which is what it predicts."""

    most_curvature = 1.0

    @classmethod
    def from_spec(cls, spec: specs.LinearRegression, facts: DataFacts) -> LinearRegression:
        return cls(facts.n_features, l1=spec.l1, l2=spec.l2)

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> LinearRegression:
        return cls(card["n_features"])

    def targets(self, labels: Floats) -> Floats:
        return labels

    def describe(self) -> dict[str, Any]:
        return {}

    def _constant_decision(self, facts: DataFacts) -> float:
        return facts.label_mean

    def _differentiate(self, z: Floats, y: Array) -> float:
        z -= y
        return float(np.dot(z, z)) / 2

    def _outcome(self, z: Floats) -> Array:
        return z.copy()

    def _metrics(self, outcomes: Array, y: Array) -> dict[str, float]:
        return regression_metrics(outcomes, y)

    def _named(self, outcomes: Array) -> Array:
        return outcomes

"""Linear regression: least squares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from stepml.job import models as specs
from stepml.ml.models.base import Array, DataFacts, Evaluation, Floats, LabelUnit, Matrix
from stepml.ml.models.linear import LinearModel
from stepml.ml.models.metrics import regression_metrics

_AS_IN_DATA = LabelUnit()


class LinearRegression(LinearModel):
    """Loss (z - y)²/2 of a row with label y and decision value z, which is what it predicts.

    Parameters
    ----------
    n_features : int
    l1, l2 : float
        Factors of the penalty; they refer to labels as in the data.
    unit : LabelUnit, optional
        That of ``z``, and of ``y`` as a target. With labels divided by s, a loss is divided by s²
        and a coefficient by s, so the minimum is the same if l1 is divided by s.
    """

    most_curvature = 1.0

    def __init__(
        self, n_features: int, *, l1: float = 0.0, l2: float = 0.0, unit: LabelUnit = _AS_IN_DATA
    ) -> None:
        super().__init__(n_features, l1=l1 / unit.size, l2=l2)
        self._unit = unit

    @classmethod
    def from_spec(cls, spec: specs.LinearRegression, facts: DataFacts) -> LinearRegression:
        return cls(facts.n_features, l1=spec.l1, l2=spec.l2_factor, unit=facts.label_unit)

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> LinearRegression:
        return cls(card["n_features"])

    @property
    def loss_unit(self) -> float:
        return self._unit.size**2

    def targets(self, labels: Floats) -> Floats:
        return labels if self._unit == _AS_IN_DATA else self._unit.scaled(labels)

    def evaluate(self, w: Floats, X: Matrix, y: Array) -> Evaluation:
        found = super().evaluate(w, X, y)
        return replace(found, loss=found.loss * self.loss_unit)

    def arrays(self, w: Floats) -> dict[str, Array]:
        coefficients, intercept = w[:-1] * np.float32(self._unit.size), w[-1:]
        return super().arrays(np.concatenate([coefficients, self._as_in_data(intercept)]))

    def parameters(self, arrays: Mapping[str, Array]) -> Floats:
        w = super().parameters(arrays)
        return np.concatenate([w[:-1] / np.float32(self._unit.size), self.targets(w[-1:])])

    def describe(self) -> dict[str, Any]:
        return {}

    def _constant_decision(self, facts: DataFacts) -> float:
        return (facts.label_mean - self._unit.origin) / self._unit.size

    def _differentiate(self, z: Floats, y: Array, weights: Floats | None) -> float:
        z -= y
        if weights is None:
            return float(np.dot(z, z)) / 2
        errors = z.copy()
        z *= weights
        return float(np.dot(errors, z)) / 2

    def _outcome(self, z: Floats) -> Array:
        return z.copy()

    def _metrics(self, outcomes: Array, y: Array, weights: Floats | None) -> dict[str, float]:
        return regression_metrics(self._as_in_data(outcomes), self._as_in_data(y), weights)

    def _named(self, outcomes: Array) -> Array:
        return self._as_in_data(outcomes)

    def _as_in_data(self, values: Array) -> Array:
        return values if self._unit == _AS_IN_DATA else self._unit.as_in_data(values)

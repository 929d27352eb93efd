"""Neural networks that predict numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from stepml.job import models as specs
from stepml.ml.models.base import Array, DataFacts, Evaluation, Floats, LabelUnit, Matrix
from stepml.ml.models.neural import NeuralNetwork, shape_from, shape_of, spec_of
from stepml.ml.models.row_weights import mean_of, parts_of
from stepml.ml.models.tallies import Sums, quality_of_numbers, tally_numbers

OF_NUMBERS = "mean_squared_error"


class NeuralRegressor(NeuralNetwork):
    """A network whose one output is the label in a unit of its own.

    Parameters
    ----------
    spec : Neural
    n_features : int
    unit : LabelUnit
    **shape
        As of `NeuralNetwork`.
    """

    def __init__(self, spec: specs.Neural, n_features: int, unit: LabelUnit, **shape: Any) -> None:
        super().__init__(spec, n_features, 1, **shape)
        self._unit = unit

    @classmethod
    def from_spec(cls, spec: specs.Neural, facts: DataFacts) -> NeuralRegressor:
        return cls(spec, facts.n_features, facts.label_unit, **shape_from(facts))

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> NeuralRegressor:
        unit = LabelUnit(**card["label_unit"])
        return cls(spec_of(card), card["n_features"], unit, **shape_of(card))

    @property
    def loss_unit(self) -> float:
        return self._unit.size**2

    def constant_loss(self, facts: DataFacts, y: Array) -> float | None:
        if self.bound.has_own_loss:
            return None
        mean = (facts.label_mean - self._unit.origin) / self._unit.size
        targets, weights = parts_of(y)
        return mean_of(np.square(targets - mean, dtype=np.float64), weights) * self.loss_unit

    def targets(self, labels: Floats) -> Floats:
        return self._unit.scaled(labels)

    def tally_outputs(self, outputs: Floats, y: Array) -> Sums:
        loss = self.loss(outputs, y) * self.loss_unit
        as_in_data = self._unit.as_in_data
        targets, weights = parts_of(y)
        predicted, labels = as_in_data(outputs[:, 0]), as_in_data(targets)
        return tally_numbers(loss, predicted, labels, self._unit.origin, weights)

    def judged(self, sums: Sums) -> Evaluation:
        return quality_of_numbers(sums)

    def predict(self, w: Floats, X: Matrix) -> Array:
        return self._unit.as_in_data(self.outputs(w, X)[:, 0])

    @property
    def _unit_of_outputs(self) -> tuple[float, float] | None:
        return None if self._unit == LabelUnit() else (self._unit.size, self._unit.origin)

    def describe(self) -> dict[str, Any]:
        return {"label_unit": msgspec.to_builtins(self._unit), **super().describe()}

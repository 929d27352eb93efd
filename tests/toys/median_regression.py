"""A toy model: the median of the labels, linear in the features."""

from __future__ import annotations

import numpy as np

from stepml.job.model_base import ModelSpec
from stepml.ml.models.base import Array, DataFacts, Floats
from stepml.ml.models.linear_regression import LinearRegression


class MedianRegression(LinearRegression):
    """Loss abs(z - y) of a row with label y and decision value z."""

    @classmethod
    def from_spec(cls, spec: ModelSpec, facts: DataFacts) -> MedianRegression:
        return cls(facts.n_features)

    def _differentiate(self, z: Floats, y: Array, weights: Floats | None) -> float:
        factors = np.ones_like(z) if weights is None else weights
        z -= y
        loss = float((factors * np.abs(z)).sum(dtype=np.float64))
        np.sign(z, out=z)
        z *= factors
        return loss

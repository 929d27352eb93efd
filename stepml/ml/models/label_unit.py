"""The unit of a regression's labels in training."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from stepml.ml.matrices import Floats


@dataclass(frozen=True, slots=True)
class LabelUnit:
    """The unit in which a regression trains: ``(label - origin) / size``."""

    origin: float = 0.0
    size: float = 1.0  # a power of two, so the division loses no digits

    @classmethod
    def of(cls, labels: Floats) -> LabelUnit:
        """Return the unit in which ``labels`` have about mean 0 and variance 1."""
        with np.errstate(all="ignore"):
            origin = float(labels.mean(dtype=np.float64))
            deviation = float(labels.std(dtype=np.float64))
        if not 0 < deviation < math.inf:
            return cls(origin if math.isfinite(origin) else 0.0)
        return cls(float(np.float32(origin)), 2.0 ** round(math.log2(deviation)))

    def scaled(self, labels: Floats) -> Floats:
        """Return labels in this unit."""
        result: Floats = (labels - np.float32(self.origin)) / np.float32(self.size)
        return result

    def as_in_data(self, values: Floats) -> Floats:
        """Return values in this unit as in the data."""
        result: Floats = values * np.float32(self.size) + np.float32(self.origin)
        return result


IN_UNITS_OF_DATA = LabelUnit()

"""Linear support vector machines: the hinge loss."""

from __future__ import annotations

import numpy as np

from stepml.ml.models.base import Array, Floats
from stepml.ml.models.classifiers import BinaryClassifier, MulticlassClassifier


class BinarySvm(BinaryClassifier):
    """Loss max(0, 1 - z) for the decision value z of a positive row, of a negative one at -z."""

    def _differentiate(self, z: Floats, y: Array) -> float:
        z *= y if self.weights is None else np.copysign(np.float32(1), y)
        np.subtract(1, z, out=z)
        np.maximum(z, 0, out=z)
        loss = np.add.reduce(z) if self.weights is None else z @ np.abs(y)
        z[...] = z > 0
        z *= y
        np.negative(z, out=z)
        return float(loss)


class OneVsRestSvm(MulticlassClassifier):
    """The sum of the hinge losses of telling each class from all others."""

    def _differentiate(self, z: Floats, y: Array) -> float:
        own = np.arange(len(y)), y
        margins = z[own]
        z += 1
        z[own] = 1 - margins
        np.maximum(z, 0, out=z)
        losses = z.sum(axis=1)
        z[...] = z > 0
        z[own] = np.where(margins < 1, np.float32(-1), np.float32(0))
        if self._factors is not None:
            factors = self._factors[y]
            losses *= factors
            z *= factors[:, None]
        return float(losses.sum(dtype=np.float64))

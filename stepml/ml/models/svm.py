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
        losses = z if self.weights is None else z * np.abs(y)
        loss = float(losses.sum(dtype=np.float64))
        np.sign(z, out=z)
        z *= y
        np.negative(z, out=z)
        return loss


class OneVsRestSvm(MulticlassClassifier):
    """The sum of the hinge losses of telling each class from all others."""

    def _differentiate(self, z: Floats, y: Array) -> float:
        own = np.arange(len(y)), y
        z[own] *= -1
        z += 1
        np.maximum(z, 0, out=z)
        factors = None if self._factors is None else self._factors[y]
        losses = z.sum(axis=1)
        np.sign(z, out=z)
        z[own] *= -1
        if factors is not None:
            losses *= factors
            z *= factors[:, None]
        return float(losses.sum(dtype=np.float64))

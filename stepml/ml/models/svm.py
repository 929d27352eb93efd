"""Linear support vector machines: the hinge loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from stepml.job import models as specs
from stepml.job.spec_base import tag
from stepml.ml.models.base import Array, DataFacts, Floats, Model
from stepml.ml.models.classes import classes_of
from stepml.ml.models.classifiers import BinaryClassifier, MulticlassClassifier


class BinarySvm(BinaryClassifier):
    """Loss max(0, 1 - z) of a positive row with decision value z, max(0, 1 + z) of others.

    A job or card with several classes and no positive one gives a `OneVsRestSvm`.
    """

    @classmethod
    def from_spec(cls, spec: specs.BinarySpec, facts: DataFacts) -> Model:
        assert isinstance(spec, specs.Svm)
        if len(classes_of(facts.labels, tag(spec))) > 2 and spec.positive_class is None:
            return OneVsRestSvm.from_spec(spec, facts)
        return super().from_spec(spec, facts)

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> Model:
        several = "positive_class" not in card
        return OneVsRestSvm.from_card(card) if several else super().from_card(card)

    def _decision_at(self, share: float) -> float:
        return 1.0 if share > 0.5 else -1.0

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
    """The sum of the hinge losses of each class against all others."""

    def _decisions_at(self, shares: Floats) -> Floats:
        decisions: Floats = np.where(shares > 0.5, 1.0, -1.0)
        return decisions

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

"""Linear support vector machines: the hinge loss, or its square."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any

import numpy as np

from stepml.job import models as specs
from stepml.job.spec_base import tag
from stepml.ml.models.base import Array, DataFacts, Floats, LossModel, Model
from stepml.ml.models.classes import classes_of
from stepml.ml.models.classifiers import BinaryClassifier, MulticlassClassifier


class BinarySvm(BinaryClassifier):
    """Loss max(0, 1 - z) of a positive row with decision value z, max(0, 1 + z) of others.

    Or the square of it. A job or card with several classes and no positive one gives a
    `OneVsRestSvm`.
    """

    loss: specs.HingeLoss = "hinge"
    rounding: float = 0.0

    @classmethod
    def from_spec(cls, spec: specs.BinarySpec, facts: DataFacts) -> Model:
        assert isinstance(spec, specs.Svm)
        several = len(classes_of(facts, tag(spec))) > 2 and spec.positive_class is None
        build = OneVsRestSvm.from_spec if several else super().from_spec
        return _with_loss(build(spec, facts), spec.loss)

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> Model:
        several = "positive_class" not in card
        build = OneVsRestSvm.from_card if several else super().from_card
        return _with_loss(build(card), card.get("loss", "hinge"))

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "loss": self.loss}

    def smoothed(self, width: float) -> LossModel | None:
        return _rounded(self, width)

    def _decision_at(self, share: float) -> float:
        return float(_constant_decisions(np.array([share]), self.loss)[0])

    def _differentiate(self, z: Floats, y: Array, weights: Floats | None) -> float:
        y, has_factors = self._factored(y, weights)
        z *= np.copysign(np.float32(1), y) if has_factors else y
        np.subtract(1, z, out=z)
        np.maximum(z, 0, out=z)
        if self.rounding:
            losses = _rounded_hinge(z, self.rounding)
            loss = losses @ np.abs(y) if has_factors else np.add.reduce(losses)
        elif self.loss == "hinge":
            loss = z @ np.abs(y) if has_factors else np.add.reduce(z)
            z[...] = z > 0
        else:
            loss = np.square(z) @ np.abs(y) if has_factors else z @ z
            z *= 2
        z *= y
        np.negative(z, out=z)
        return float(loss)


class OneVsRestSvm(MulticlassClassifier):
    """The sum of the hinge losses, or their squares, of each class against all others."""

    loss: specs.HingeLoss = "hinge"
    rounding: float = 0.0

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "loss": self.loss}

    def smoothed(self, width: float) -> LossModel | None:
        return _rounded(self, width)

    def _decisions_at(self, shares: Floats) -> Floats:
        return _constant_decisions(shares, self.loss)

    def _differentiate(self, z: Floats, y: Array, weights: Floats | None) -> float:
        own = np.arange(len(y)), y
        margins = z[own]
        z += 1
        z[own] = 1 - margins
        np.maximum(z, 0, out=z)
        if self.rounding:
            losses = _rounded_hinge(z, self.rounding).sum(axis=1)
            z[own] *= -1
        elif self.loss == "hinge":
            losses = z.sum(axis=1)
            z[...] = z > 0
            z[own] = np.where(margins < 1, np.float32(-1), np.float32(0))
        else:
            losses = np.einsum("ij,ij->i", z, z)
            z *= 2
            z[own] *= -1
        factors = self._factors_of(y, weights)
        if factors is not None:
            losses *= factors
            z *= factors[:, None]
        return float(losses.sum(dtype=np.float64))


def _with_loss(model: Model, loss: specs.HingeLoss) -> Model:
    assert isinstance(model, BinarySvm | OneVsRestSvm)
    model.loss = loss
    model.most_curvature = 2.0 if loss == "squared_hinge" else None
    return model


def _rounded(model: BinarySvm | OneVsRestSvm, width: float) -> LossModel | None:
    if model.loss != "hinge":
        return None
    found = copy(model)
    found.rounding, found.most_curvature = width, 1 / width
    return found


def _rounded_hinge(z: Floats, rounding: float) -> Floats:
    """Return the losses of rows that lack ``z`` of their margins; replace ``z`` by the slopes.

    Up to ``rounding``, the loss is a parabola.
    """
    slopes = np.minimum(z / np.float32(rounding), 1)
    losses: Floats = slopes * (z - np.float32(rounding / 2) * slopes)
    z[...] = slopes
    return losses


def _constant_decisions(shares: Floats, loss: specs.HingeLoss) -> Floats:
    """Return the best decision value for all rows, of which each of ``shares`` is positive."""
    if loss == "squared_hinge":
        return 2 * shares - 1
    decisions: Floats = np.where(shares > 0.5, 1.0, -1.0)
    return decisions

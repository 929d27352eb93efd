"""Linear models of the user's own: a loss of decision values."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from stepml.job.own_code import CustomModel
from stepml.ml.class_names import NUMBERS, ClassNames
from stepml.ml.models.base import Array, DataFacts, Floats, Model
from stepml.ml.models.classifiers import MulticlassClassifier
from stepml.ml.models.linear import LinearModel
from stepml.ml.models.metrics import regression_metrics
from stepml.ml.own.calls import numbers_like, pair
from stepml.ml.own.loading import OwnClass, frozen
from stepml.ml.own.models import OwnLinearModel

_FIELD = "model.entry_point"
_KIND = {"kind": "linear"}


class CustomLinear(LinearModel):
    """The part of linear models that calls the user's class."""

    spec: CustomModel
    n_classes = 0

    @property
    def own_class(self) -> OwnClass:
        """The class in the code."""
        return OwnClass(_FIELD, self.spec.entry_point, self.spec.options, self.code)

    @cached_property
    def own(self) -> OwnLinearModel:
        """The object of the class; errors as of `OwnClass.built`."""
        own: OwnLinearModel = self.own_class.built(OwnLinearModel)  # type: ignore[type-abstract]
        own.n_features, own.n_classes = self.n_features, self.n_classes
        return own

    @cached_property
    def most_curvature(self) -> float | None:  # type: ignore[override]
        if self.code is None or not self.spec.smooth:
            return None
        return self.own.most_curvature

    def _differentiate(self, z: Floats, y: Array, weights: Floats | None) -> float:
        function = self.own.losses
        with self.own_class.blamed():
            found = function(frozen(z), frozen(y))
        losses, slopes = pair(self.own_class, function, found, "(losses, slopes)")
        losses = numbers_like(self.own_class, function, losses, y.shape, "the losses")
        z[...] = numbers_like(self.own_class, function, slopes, z.shape, "the slopes")
        if weights is None:
            return float(losses.sum(dtype=np.float64))
        z *= weights.reshape(-1, *[1] * (z.ndim - 1))
        return float(losses.astype(np.float64) @ weights)


class CustomLinearNumbers(CustomLinear):
    """A linear model that predicts numbers.

    Parameters
    ----------
    spec : CustomModel
    n_features : int
    """

    def __init__(self, spec: CustomModel, n_features: int) -> None:
        super().__init__(n_features, l1=spec.l1, l2=spec.l2_factor)
        self.spec = spec

    @classmethod
    def from_spec(cls, spec: CustomModel, facts: DataFacts) -> Model:
        return cls(spec, facts.n_features)

    @classmethod
    def from_card(cls, card: Any) -> Model:
        raise NotImplementedError("CustomNumbers.from_card chooses the class")

    def targets(self, labels: Floats) -> Floats:
        return labels

    def describe(self) -> dict[str, Any]:
        return dict(_KIND)

    def _outcome(self, z: Floats) -> Array:
        function = self.own.predictions
        with self.own_class.blamed():
            found = function(frozen(z))
        return numbers_like(self.own_class, function, found, z.shape, "the predictions").copy()

    def _metrics(self, outcomes: Array, y: Array, weights: Floats | None) -> dict[str, float]:
        return regression_metrics(outcomes, y, weights)

    def _named(self, outcomes: Array) -> Array:
        return outcomes


class CustomLinearClasses(CustomLinear, MulticlassClassifier):
    """A linear model with a decision value for each class.

    Parameters
    ----------
    spec : CustomModel
    n_features : int
    classes : sequence of float
        The labels, ascending.
    names : ClassNames, optional
        Of labels that are codes.
    """

    def __init__(
        self,
        spec: CustomModel,
        n_features: int,
        classes: Sequence[float],
        *,
        names: ClassNames = NUMBERS,
    ) -> None:
        MulticlassClassifier.__init__(
            self, n_features, classes, names=names, l1=spec.l1, l2=spec.l2_factor
        )
        self.spec = spec
        self.n_classes = len(classes)

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), **_KIND}

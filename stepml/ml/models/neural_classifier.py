"""Neural networks that tell classes apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stepml.job import models as specs
from stepml.job.errors import BadLabelError
from stepml.job.spec_base import Label, tag
from stepml.ml.class_names import NUMBERS, ClassNames
from stepml.ml.matrices import Floats64
from stepml.ml.models.base import Array, DataFacts, Evaluation, Floats, Matrix
from stepml.ml.models.classes import classes_of, indices, shares_of
from stepml.ml.models.confusion import Counts, Totals, count_classes
from stepml.ml.models.neural import NeuralNetwork, shape_from, shape_of, spec_of
from stepml.ml.models.neural_regressor import OF_NUMBERS, NeuralRegressor
from stepml.ml.models.row_weights import mean_of, parts_of, targets_of
from stepml.ml.models.tallies import (
    Sums,
    counts_of,
    quality_of_classes,
    tally_classes,
    totals_of,
)


class NeuralClassifier(NeuralNetwork):
    """A network with an output for each class, or one for the second of two.

    Parameters
    ----------
    spec : Neural
    n_features : int
    classes : sequence of float
        The labels, ascending.
    names : ClassNames, optional
        Of labels that are codes.
    **shape
        As of `NeuralNetwork`.
    """

    def __init__(
        self,
        spec: specs.Neural,
        n_features: int,
        classes: Sequence[float],
        *,
        names: ClassNames = NUMBERS,
        **shape: Any,
    ) -> None:
        n_outputs = len(classes) if spec.loss == "cross_entropy" else 1
        super().__init__(spec, n_features, n_outputs, **shape)
        self.names = names
        self.classes = tuple(classes)
        self._labels = np.array(self.classes, np.float32)

    @classmethod
    def from_spec(cls, spec: specs.Neural, facts: DataFacts) -> NeuralNetwork:
        """Return the network of a job; errors as of `Model.from_spec`.

        If the loss is one of numbers, it is no classifier.
        """
        if spec.loss == OF_NUMBERS:
            return NeuralRegressor.from_spec(spec, facts)
        classes = classes_of(facts, tag(spec))
        if spec.loss != "cross_entropy" and len(classes) != 2:
            raise BadLabelError(
                f"model.loss: {spec.loss!r} needs two labels, the data have {len(classes)} "
                f"({facts.names.shown(classes)}); 'cross_entropy' takes any number"
            )
        return cls(spec, facts.n_features, classes, names=facts.names, **shape_from(facts))

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> NeuralNetwork:
        """Return a trained network, which need not be a classifier."""
        if spec_of(card).loss == OF_NUMBERS:
            return NeuralRegressor.from_card(card)
        names = ClassNames.of_card(card)
        classes = names.all_learnt(card["classes"])
        return cls(spec_of(card), card["n_features"], classes, names=names, **shape_of(card))

    @property
    def class_labels(self) -> list[Label]:
        """`classes` as in the data."""
        return self.names.labels(self.classes)

    def constant_loss(self, facts: DataFacts, y: Array) -> float | None:
        shares, smoothing = shares_of(facts, None), self.spec.label_smoothing
        if shares is None or self.bound.has_own_loss:
            return None
        shares = (1 - smoothing) * shares + smoothing / len(shares)
        if not shares.all():
            return None
        logarithms = np.log(shares)
        targets, weights = parts_of(y)
        gains = (1 - smoothing) * logarithms[targets] + smoothing * logarithms.mean()
        return -mean_of(gains, weights)

    def targets(self, labels: Floats) -> Array:
        return indices(labels, self._labels)

    def tally_outputs(self, outputs: Floats, y: Array) -> Sums:
        loss, (own, weights) = self.loss(outputs, y), parts_of(y)
        return tally_classes(loss, self._of_classes(outputs), own, len(self.classes), weights)

    def judged(self, sums: Sums) -> Evaluation:
        return quality_of_classes(sums, len(self.classes))

    def counts(self, sums: Sums) -> Counts | None:
        return counts_of(sums, len(self.classes))

    def totals(self, sums: Sums) -> Totals:
        return totals_of(sums, len(self.classes))

    def confusion(self, w: Floats, X: Matrix, y: Array) -> Counts:
        """Return the rows of each class by their prediction, as of `WithClasses`."""
        predicted = self.decision(w, X).argmax(axis=1)
        return count_classes(targets_of(y), predicted, len(self.classes))

    def predict(self, w: Floats, X: Matrix) -> Array:
        predicted: Array = self._labels[self.decision(w, X).argmax(axis=1)]
        return predicted

    def decision(self, w: Floats, X: Matrix) -> Floats:
        """Return the decision value of each class, (n_samples, n_classes)."""
        return self._of_classes(self.outputs(w, X))

    def probabilities(self, w: Floats, X: Matrix) -> Floats64:
        """Return the probability of each class, (n_samples, n_classes)."""
        z = self.decision(w, X).astype(np.float64)
        z -= z.max(axis=1, keepdims=True)
        np.exp(z, out=z)
        z /= z.sum(axis=1, keepdims=True)
        return z

    def describe(self) -> dict[str, Any]:
        return {"classes": self.class_labels, **self.names.card(), **super().describe()}

    def _of_classes(self, outputs: Floats) -> Floats:
        """Return an output for each class: a single one is that of the second class against 0."""
        if self.n_outputs > 1:
            return outputs
        return np.concatenate([np.zeros_like(outputs), outputs], axis=1)

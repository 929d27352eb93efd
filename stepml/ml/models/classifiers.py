"""Base classes of linear classifiers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stepml.job import models as specs
from stepml.job.spec_base import Label, tag
from stepml.ml.class_names import NUMBERS, ClassNames, as_stored
from stepml.ml.models.base import Array, DataFacts, Floats, Matrix, Model
from stepml.ml.models.classes import (
    classes_of,
    indices,
    positive_of,
    shares_of,
    weights_of,
)
from stepml.ml.models.confusion import Counts, count_classes
from stepml.ml.models.linear import LinearModel
from stepml.ml.models.metrics import binary_metrics, multiclass_metrics
from stepml.ml.models.row_weights import targets_of


class BinaryClassifier(LinearModel):
    """Distinguishes one label from all others, by the sign of one decision value.

    Targets are 1 for rows of the positive class and -1 for others, times the weight of the row's
    label. A weight of 0 gives 0 or -0, so the sign is always that of the class.

    Parameters
    ----------
    n_features : int
    positive : float
        The label of the positive class.
    negative : float, optional
        The other label, if there is only one.
    weights : mapping of float to float, optional
        Factors of a row's loss, by its label; all labels must have one.
    l1, l2 : float
    names : ClassNames, optional
        Of labels that are codes.
    """

    def __init__(
        self,
        n_features: int,
        positive: float,
        negative: float | None = None,
        *,
        weights: Mapping[float, float] | None = None,
        l1: float = 0.0,
        l2: float = 0.0,
        names: ClassNames = NUMBERS,
    ) -> None:
        super().__init__(n_features, l1=l1, l2=l2)
        self.names = names
        self.positive = positive
        self.negative = negative
        self.weights = weights

    @classmethod
    def from_spec(cls, spec: specs.BinarySpec, facts: DataFacts) -> Model:
        classes, names = classes_of(facts, tag(spec)), facts.names
        n_rows = None if facts.label_counts is None else sum(facts.label_counts)
        positive = positive_of(spec.positive_class, classes, tag(spec), n_rows, names)
        weights = weights_of(spec.class_weight, classes, facts.label_counts, positive, names)
        others = [label for label in classes if label != positive]
        negative = others[0] if len(others) == 1 else None
        penalty = {"l1": spec.l1_factor, "l2": spec.l2_factor}
        return cls(facts.n_features, positive, negative, weights=weights, names=names, **penalty)

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> Model:
        names, negative = ClassNames.of_card(card), card["negative_class"]
        positive = names.learnt(card["positive_class"])
        other = None if negative is None else names.learnt(negative)
        return cls(card["n_features"], positive, other, names=names)

    @property
    def class_labels(self) -> list[Label]:
        """`classes` as in the data; 0 and 1 if many labels are negative."""
        if self.negative is None:
            return list(self.classes)
        return self.names.labels(self.classes)

    @property
    def classes(self) -> tuple[float, float]:
        """The two labels, ascending; 0 and 1 if many labels are negative."""
        if self.negative is None:
            return 0.0, 1.0
        return min(self.positive, self.negative), max(self.positive, self.negative)

    def targets(self, labels: Floats) -> Floats:
        # Arithmetic is ten times as fast as `where`.
        sides: Floats = (labels == np.float32(self.positive)).astype(np.float32)
        sides *= 2
        sides -= 1
        if self.weights is not None:
            known = np.sort(np.array(list(self.weights), np.float32))
            sides *= _factors(self.weights)[indices(labels, known)]
        return sides

    def _factored(self, y: Array, weights: Floats | None) -> tuple[Array, bool]:
        """Return targets times the rows' weights, and whether rows have factors of any kind."""
        if weights is None:
            return y, self.weights is not None
        return y * weights, True

    def _mean_weight(self, y: Array) -> float:
        return float(np.abs(y).mean(dtype=np.float64))

    def _constant_decision(self, facts: DataFacts) -> float | None:
        shares = shares_of(facts, self.weights)
        if shares is None or facts.labels is None:
            return None
        is_positive = [as_stored(label) == self.positive for label in facts.labels]
        return self._decision_at(float(shares[is_positive].sum()))

    def _decision_at(self, share: float) -> float | None:
        """Return the best decision value for all rows, of which ``share`` are positive."""
        return None

    def describe(self) -> dict[str, Any]:
        return {
            "positive_class": self.names.label(self.positive),
            "negative_class": None if self.negative is None else self.names.label(self.negative),
            "classes": self.class_labels,
            **self.names.card(),
        }

    def _outcome(self, z: Floats) -> Array:
        return z.copy()

    def _metrics(self, outcomes: Array, y: Array, weights: Floats | None) -> dict[str, float]:
        return binary_metrics(outcomes, ~np.signbit(y), weights)

    def confusion(self, w: Floats, X: Matrix, y: Array) -> Counts:
        is_first = self.negative is not None and self.positive < self.negative
        own, predicted = (
            ~np.signbit(targets_of(y)) != is_first,
            (self._outcomes(w, X) > 0) != is_first,
        )
        return count_classes(own, predicted, 2)

    def _named(self, outcomes: Array) -> Array:
        names = (1.0, 0.0) if self.negative is None else (self.positive, self.negative)
        positive, negative = np.array(names, np.float32)
        labels: Array = np.where(outcomes > 0, positive, negative)
        return labels


class MulticlassClassifier(LinearModel):
    """Chooses the class with the largest decision value, the first one of equal values.

    Targets are the indices of the rows' labels among the classes.

    Parameters
    ----------
    n_features : int
    classes : sequence of float
        The labels, ascending.
    weights : mapping of float to float, optional
        Factors of a row's loss, by its label.
    l1, l2 : float
    names : ClassNames, optional
        Of labels that are codes.
    """

    def __init__(
        self,
        n_features: int,
        classes: Sequence[float],
        *,
        weights: Mapping[float, float] | None = None,
        l1: float = 0.0,
        l2: float = 0.0,
        names: ClassNames = NUMBERS,
    ) -> None:
        super().__init__(n_features, len(classes), l1=l1, l2=l2)
        self.names = names
        self.classes = tuple(classes)
        self.weights = weights
        self._labels = np.array(self.classes, np.float32)
        self._factors = None if weights is None else _factors(weights)

    @classmethod
    def from_spec(cls, spec: specs.MulticlassSpec, facts: DataFacts) -> Model:
        classes, names = classes_of(facts, tag(spec)), facts.names
        counts = facts.label_counts
        weights = weights_of(spec.class_weight, classes, counts, names=names)
        penalty = {"l1": spec.l1_factor, "l2": spec.l2_factor}
        return cls(facts.n_features, classes, weights=weights, names=names, **penalty)

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> Model:
        names = ClassNames.of_card(card)
        return cls(card["n_features"], names.all_learnt(card["classes"]), names=names)

    @property
    def class_labels(self) -> list[Label]:
        """`classes` as in the data."""
        return self.names.labels(self.classes)

    def targets(self, labels: Floats) -> Array:
        return indices(labels, self._labels)

    def _factors_of(self, y: Array, weights: Floats | None) -> Floats | None:
        """Return the factors of rows' losses: of their classes and weights, if there are any."""
        if self._factors is None:
            return weights
        factors = self._factors[y]
        return factors if weights is None else factors * weights

    def _mean_weight(self, y: Array) -> float:
        return 1.0 if self._factors is None else float(self._factors[y].mean(dtype=np.float64))

    def _constant_decision(self, facts: DataFacts) -> Floats | None:
        shares = shares_of(facts, self.weights)
        return None if shares is None else self._decisions_at(shares)

    def _decisions_at(self, shares: Floats) -> Floats | None:
        """Return the best decision values for all rows, given the share of each class."""
        return None

    def describe(self) -> dict[str, Any]:
        return {"classes": self.class_labels, **self.names.card()}

    def _outcome(self, z: Floats) -> Array:
        largest: Array = z.argmax(axis=1)
        return largest

    def _metrics(self, outcomes: Array, y: Array, weights: Floats | None) -> dict[str, float]:
        return multiclass_metrics(y, outcomes, len(self.classes), weights)

    def confusion(self, w: Floats, X: Matrix, y: Array) -> Counts:
        return count_classes(targets_of(y), self._outcomes(w, X), len(self.classes))

    def _named(self, outcomes: Array) -> Array:
        return self._labels[outcomes.astype(np.intp)]


def _factors(weights: Mapping[float, float]) -> Floats:
    """Return the weights in ascending order of their labels."""
    return np.array([weights[label] for label in sorted(weights)], np.float32)

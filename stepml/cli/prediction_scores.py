"""Measures the quality of predictions, a block of rows at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from stepml.job.reports import ClassQuality
from stepml.job.spec_base import Label
from stepml.ml.class_names import as_stored
from stepml.ml.matrices import Matrix
from stepml.ml.models.confusion import MOST_CLASSES_COUNTED, PerClass, Totals
from stepml.ml.models.metrics import Ranking
from stepml.ml.models.tallies import TOP, are_in_top

if TYPE_CHECKING:
    from stepml.trained_model import TrainedModel

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Quality:
    """The quality of all predictions."""

    metrics: dict[str, float] = field(default_factory=dict)
    per_class: list[ClassQuality] = field(default_factory=list)
    confusion_matrix: list[list[int]] = field(default_factory=list)
    unknown_labels: list[Label] = field(default_factory=list)  # that the model never predicts


class Score:
    """No score: there are no labels."""

    def add(self, X: Matrix, y: Array, predicted: Array) -> None:
        """Count the predictions of some rows."""

    def quality(self) -> Quality:
        """Return the quality of all rows so far, at least one."""
        return Quality()


class _Classes(Score):
    """Counts pairs of label and prediction.

    A ranking needs the decision values of all rows: five bytes each.
    """

    def __init__(self, model: TrainedModel) -> None:
        self._model = model
        self._known = _labels(model.classes_)
        self._positive = _positive_of(model)
        self._pairs: Counter[tuple[Label, Label]] = Counter()
        self._scores: list[Array] = []
        self._is_positive: list[Array] = []
        self._log_losses = 0.0
        self._in_top = 0

    def add(self, X: Matrix, y: Array, predicted: Array) -> None:
        expected = self._model.expected(y)
        self._pairs.update(_pairs(expected, predicted))
        if self._positive is not None:
            sign = 1 if self._positive_place == 1 else -1
            self._scores.append(sign * self._model.decision_function(X))
            self._is_positive.append(expected == self._model.classes_[self._positive_place])
        if hasattr(self._model, "predict_log_proba"):
            self._add_chances(X, expected)

    @property
    def _positive_place(self) -> int:
        assert self._positive is not None
        return self._known.index(self._positive)

    def _add_chances(self, X: Matrix, expected: Array) -> None:
        places = np.searchsorted(self._model.classes_, expected)
        places = np.minimum(places, len(self._known) - 1)
        chances = self._model.predict_log_proba(X)
        self._log_losses -= float(chances[np.arange(len(places)), places].sum())
        is_known = self._model.classes_[places] == expected
        in_top = are_in_top(chances[is_known], places[is_known])
        self._in_top += int(np.count_nonzero(in_top))

    def quality(self) -> Quality:
        # Labels are of one type.
        labels: list[Label] = sorted({*self._known, *(own for own, _ in self._pairs)})
        per_class, right = self._per_class(labels)
        n_rows = self._pairs.total()
        metrics = {"accuracy": right / n_rows}
        if self._positive is None:
            metrics |= per_class.mean_metrics()
        else:
            metrics |= self._ranked() | per_class.metrics_of(labels.index(self._positive))
        if self._model.card["model"] == "neural" and len(self._known) > TOP:
            metrics["top5_accuracy"] = self._in_top / n_rows
        unknown = [label for label in labels if label not in self._known]
        if hasattr(self._model, "predict_log_proba") and not unknown:
            metrics["log_loss"] = self._log_losses / n_rows
        return Quality(metrics, per_class.table(labels), self._matrix(labels), unknown)

    def _per_class(self, labels: Sequence[Label]) -> tuple[PerClass, int]:
        """Return the quality of each class, and the number of rows that are predicted right."""
        right, support, predicted = np.zeros((3, len(labels)), np.int64)
        for own, guessed, number in self._counted(labels):
            support[own] += number
            predicted[guessed] += number
            right[own] += number * (own == guessed)
        totals = Totals(support, predicted, right)
        return PerClass.of_totals(totals), int(right.sum())

    def _matrix(self, labels: Sequence[Label]) -> list[list[int]]:
        if len(labels) > MOST_CLASSES_COUNTED:
            return []
        counts = [[0] * len(labels) for _ in labels]
        for own, guessed, number in self._counted(labels):
            counts[own][guessed] = number
        return counts

    def _counted(self, labels: Sequence[Label]) -> Iterator[tuple[int, int, int]]:
        """Yield the places of label and prediction, and the rows that have both."""
        places = {label: place for place, label in enumerate(labels)}
        for (own, guessed), number in self._pairs.items():
            yield places[own], places[guessed], number

    def _ranked(self) -> dict[str, float]:
        positive = np.concatenate(self._is_positive)
        if positive.all() or not positive.any():
            return {}
        ranking = Ranking.of(np.concatenate(self._scores), positive)
        return {"auc": ranking.auc, "average_precision": ranking.average_precision}


@dataclass(slots=True)
class _Regression(Score):
    squares: float = 0.0  # of errors
    sizes: float = 0.0  # of errors
    n: int = 0
    mean: float = 0.0  # of the labels
    deviations: float = 0.0  # squared, of the labels from their mean

    def add(self, X: Matrix, y: Array, predicted: Array) -> None:
        labels = y.astype(np.float64)
        errors = predicted - labels
        self.squares += float(np.square(errors).sum())
        self.sizes += float(np.abs(errors).sum())
        delta, n = float(labels.mean()) - self.mean, self.n + len(labels)
        self.deviations += float(np.square(labels - labels.mean()).sum())
        self.deviations += delta**2 * self.n * len(labels) / n
        self.mean += delta * len(labels) / n
        self.n = n

    def quality(self) -> Quality:
        found = {"rmse": (self.squares / self.n) ** 0.5, "mae": self.sizes / self.n}
        if self.deviations > 0:
            found["r2"] = 1 - self.squares / self.deviations
        return Quality(found)


class _Inertia(Score):
    def __init__(self, model: TrainedModel) -> None:
        self._model = model
        self._inertia = 0.0

    def add(self, X: Matrix, y: Array, predicted: Array) -> None:
        self._inertia -= self._model.score(X)

    def quality(self) -> Quality:
        return Quality({"inertia": self._inertia})


def score_of(model: TrainedModel, *, has_label: bool) -> Score:
    """Return the score of a model's predictions; clusters need no labels."""
    if hasattr(model, "cluster_centers_"):
        return _Inertia(model)
    if not has_label:
        return Score()
    return _Classes(model) if hasattr(model, "classes_") else _Regression()


def _pairs(expected: Array, predicted: Array) -> dict[tuple[Label, Label], int]:
    """Return the number of rows of each pair of label and prediction."""
    labels, own = np.unique(expected, return_inverse=True)
    guesses, guessed = np.unique(predicted, return_inverse=True)
    pairs, counts = np.unique(own * len(guesses) + guessed, return_counts=True)
    known, predictions = _labels(labels), _labels(guesses)
    return {
        (known[pair // len(guesses)], predictions[pair % len(guesses)]): count
        for pair, count in zip(pairs.tolist(), counts.tolist(), strict=True)
    }


def _labels(values: Array) -> list[Label]:
    """Return labels as a report has them."""
    if values.dtype.kind == "f":
        return [as_stored(label) for label in values.tolist()]
    return list(values.tolist())


def _positive_of(model: TrainedModel) -> Label | None:
    """Return the positive class as `TrainedModel.expected` names it, or None if there are many."""
    if "positive_class" not in model.card:
        return None
    is_one_of_many = model.card["negative_class"] is None
    positive: Label = model.card["positive_class"]
    return 1.0 if is_one_of_many else positive

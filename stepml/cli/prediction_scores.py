"""Measures the quality of predictions, a block of rows at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from stepml.job.reports import ClassQuality
from stepml.ml.matrices import Matrix
from stepml.ml.models.classes import as_stored
from stepml.ml.models.confusion import MOST_CLASSES_COUNTED, PerClass, Totals
from stepml.ml.models.metrics import Ranking
from stepml.ml.models.tallies import TOP, count_in_top

if TYPE_CHECKING:
    from stepml.trained_model import TrainedModel

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Quality:
    """The quality of all predictions."""

    metrics: dict[str, float] = field(default_factory=dict)
    per_class: list[ClassQuality] = field(default_factory=list)
    confusion_matrix: list[list[int]] = field(default_factory=list)
    unknown_labels: list[float] = field(default_factory=list)  # that the model never predicts


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
        self._known = [as_stored(label) for label in model.classes_]
        self._positive = _positive_of(model)
        self._pairs: Counter[complex] = Counter()
        self._scores: list[Array] = []
        self._is_positive: list[Array] = []
        self._log_losses = 0.0
        self._in_top = 0

    def add(self, X: Matrix, y: Array, predicted: Array) -> None:
        expected = self._model.expected(y)
        pairs, counts = np.unique(expected + 1j * predicted, return_counts=True)
        self._pairs.update(dict(zip(pairs.tolist(), counts.tolist(), strict=True)))
        if self._positive is not None:
            sign = 1 if self._positive == self._known[1] else -1
            self._scores.append(sign * self._model.decision_function(X))
            self._is_positive.append(expected == np.float32(self._positive))
        if hasattr(self._model, "predict_log_proba"):
            self._add_chances(X, expected)

    def _add_chances(self, X: Matrix, expected: Array) -> None:
        places = np.searchsorted(self._model.classes_, expected)
        places = np.minimum(places, len(self._known) - 1)
        chances = self._model.predict_log_proba(X)
        self._log_losses -= float(chances[np.arange(len(places)), places].sum())
        is_known = self._model.classes_[places] == expected
        self._in_top += count_in_top(chances[is_known], places[is_known])

    def quality(self) -> Quality:
        labels = sorted({*self._known, *(as_stored(pair.real) for pair in self._pairs)})
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

    def _per_class(self, labels: Sequence[float]) -> tuple[PerClass, int]:
        """Return the quality of each class, and the number of rows that are predicted right."""
        right, support, predicted = np.zeros((3, len(labels)), np.int64)
        for own, guessed, number in self._counted(labels):
            support[own] += number
            predicted[guessed] += number
            right[own] += number * (own == guessed)
        totals = Totals(support, predicted, right)
        return PerClass.of_totals(totals), int(right.sum())

    def _matrix(self, labels: Sequence[float]) -> list[list[int]]:
        if len(labels) > MOST_CLASSES_COUNTED:
            return []
        counts = [[0] * len(labels) for _ in labels]
        for own, guessed, number in self._counted(labels):
            counts[own][guessed] = number
        return counts

    def _counted(self, labels: Sequence[float]) -> Iterator[tuple[int, int, int]]:
        """Yield the places of label and prediction, and the rows that have both."""
        places = {label: place for place, label in enumerate(labels)}
        for pair, number in self._pairs.items():
            yield places[as_stored(pair.real)], places[as_stored(pair.imag)], number

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


def _positive_of(model: TrainedModel) -> float | None:
    """Return the positive class as `TrainedModel.expected` names it, or None if there are many."""
    if "positive_class" not in model.card:
        return None
    is_one_of_many = model.card["negative_class"] is None
    return 1.0 if is_one_of_many else as_stored(model.card["positive_class"])

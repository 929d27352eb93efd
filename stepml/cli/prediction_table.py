"""Writes predictions as CSV and measures their quality, a block of rows at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TextIO

import numpy as np
import numpy.typing as npt

from stepml.ml.matrices import Matrix
from stepml.ml.models.classes import as_stored

if TYPE_CHECKING:
    from stepml.cli.prediction_rows import PredictionRows
    from stepml.trained_model import TrainedModel

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Results:
    """The result for the rows of one file."""

    rows: int
    metrics: dict[str, float]  # empty without labels
    unknown_labels: list[float]  # labels of the data that the model never predicts


def write_predictions(model: TrainedModel, rows: PredictionRows, file: TextIO) -> Results:
    """Write a header and a line for each row; return the quality of the predictions.

    The columns are ``prediction`` and, for models with probabilities, ``probability_<class>`` of
    each class.
    """
    score, n_rows = _score_of(model, has_label=rows.has_label), 0
    has_probabilities = hasattr(model, "predict_proba")
    names = [_text(name) for name in model.classes_] if has_probabilities else []
    header = ",".join(["prediction", *(f"probability_{name}" for name in names)]) + "\n"
    for X, y in rows.blocks():
        predicted = model.predict(X)
        columns = [[_text(value) for value in predicted]]
        if has_probabilities:
            columns += model.predict_proba(X).astype(np.float32).astype(str).T.tolist()
        file.write(header + _lines(columns))  # after reading rows, so bad ones write nothing
        header = ""
        score.add(X, y, predicted)
        n_rows += len(y)
    file.write(header)
    unknown = sorted(score.unknown) if isinstance(score, _Accuracy) else []
    return Results(n_rows, score.metrics() if n_rows else {}, unknown)


def _lines(columns: Sequence[Sequence[str]]) -> str:
    return "".join(f"{','.join(fields)}\n" for fields in zip(*columns, strict=True))


def _text(value: Any) -> str:
    """Format a label, a number or a cluster, without a trailing ``.0``."""
    return str(value).removesuffix(".0")


class _Score(Protocol):
    def add(self, X: Matrix, y: Array, predicted: Array) -> None: ...
    def metrics(self) -> dict[str, float]: ...


class _NoScore:
    def add(self, X: Matrix, y: Array, predicted: Array) -> None:
        pass

    def metrics(self) -> dict[str, float]:
        return {}


@dataclass(slots=True)
class _Accuracy:
    model: TrainedModel
    right: int = 0
    n: int = 0
    unknown: set[float] = field(default_factory=set)

    def add(self, X: Matrix, y: Array, predicted: Array) -> None:
        expected = self.model.expected(y)
        self.right += int(np.count_nonzero(predicted == expected))
        self.n += len(y)
        strange = np.unique(expected[~np.isin(expected, self.model.classes_)])
        self.unknown |= {as_stored(label) for label in strange}

    def metrics(self) -> dict[str, float]:
        return {"accuracy": self.right / self.n}


@dataclass(slots=True)
class _Regression:
    errors: float = 0.0  # squared
    n: int = 0
    mean: float = 0.0  # of the labels
    deviations: float = 0.0  # squared, of the labels from their mean

    def add(self, X: Matrix, y: Array, predicted: Array) -> None:
        labels = y.astype(np.float64)
        self.errors += float(np.square(predicted - labels).sum())
        delta, n = float(labels.mean()) - self.mean, self.n + len(labels)
        self.deviations += float(np.square(labels - labels.mean()).sum())
        self.deviations += delta**2 * self.n * len(labels) / n
        self.mean += delta * len(labels) / n
        self.n = n

    def metrics(self) -> dict[str, float]:
        found = {"rmse": (self.errors / self.n) ** 0.5}
        if self.deviations > 0:
            found["r2"] = 1 - self.errors / self.deviations
        return found


@dataclass(slots=True)
class _Inertia:
    model: TrainedModel
    inertia: float = 0.0

    def add(self, X: Matrix, y: Array, predicted: Array) -> None:
        self.inertia -= self.model.score(X)

    def metrics(self) -> dict[str, float]:
        return {"inertia": self.inertia}


def _score_of(model: TrainedModel, *, has_label: bool) -> _Score:
    if hasattr(model, "cluster_centers_"):  # needs no labels
        return _Inertia(model)
    if not has_label:
        return _NoScore()
    return _Accuracy(model) if hasattr(model, "classes_") else _Regression()

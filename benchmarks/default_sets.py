"""Data sets on which jobs with nothing chosen by hand are measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import datasets
from sklearn.linear_model import Lasso, LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

Rows = tuple[NDArray[np.float64], NDArray[np.float64]]
N_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class DataSet:
    """Rows, and the model that learns them."""

    name: str
    X: NDArray[np.float64]
    y: NDArray[np.float64]
    model: dict[str, Any]  # of a job
    is_sparse: bool = False  # written as libsvm, and never standardised

    @property
    def is_regression(self) -> bool:
        """Whether the labels are numbers."""
        return self.model["name"] == "linear_regression"

    def text(self) -> bytes:
        """Return the rows as libsvm or CSV, the label first."""
        if self.is_sparse:
            pairs = (np.flatnonzero(row) for row in self.X)
            lines = (
                " ".join([f"{label:g}", *(f"{i + 1}:{row[i]:.7g}" for i in indices)])
                for row, label, indices in zip(self.X, self.y, pairs, strict=True)
            )
        else:
            rows = np.column_stack([self.y, self.X])
            lines = (",".join(f"{value:.9g}" for value in row) for row in rows.tolist())
        return "\n".join([*lines, ""]).encode()

    def reference(self) -> Result:
        """Return the result of scikit-learn on the same rows, standardised unless sparse."""
        X = self.X if self.is_sparse else StandardScaler().fit_transform(self.X)
        l2 = self.model.get("l2")
        if self.model["name"] == "svm":
            return self._of_margins(X)
        if self.is_regression:
            found = _least_squares(len(X), l2, self.model.get("l1")).fit(X, self.y)
            errors = found.predict(X) - self.y
            return Result(float(errors @ errors) / 2 / len(X), found.score(X, self.y))
        C, kind = 1 / (l2 * len(X)) if l2 else 1.0, {}  # its default
        if l1 := self.model.get("l1"):
            C, kind = 1 / (l1 * len(X)), {"l1_ratio": 1, "solver": "saga"}
        found = LogisticRegression(C=C, max_iter=10_000, tol=1e-6, **kind).fit(X, self.y)
        return Result(log_loss(self.y, found.predict_proba(X)), found.score(X, self.y))

    def _of_margins(self, X: NDArray[np.float64]) -> Result:
        """Return the result of a support vector machine, whose intercept hardly has a penalty."""
        loss, C = self.model["loss"], 1 / (self.model["l2"] * len(X))
        machine = LinearSVC(loss=loss, C=C, intercept_scaling=30, max_iter=10**6)
        found = machine.fit(X, self.y)
        margins = np.where(self.y > 0, 1, -1) * found.decision_function(X)
        losses = np.maximum(0, 1 - margins) ** (2 if loss == "squared_hinge" else 1)
        return Result(float(losses.mean()), found.score(X, self.y))


@dataclass(frozen=True, slots=True)
class Result:
    """The quality of a model on the training rows."""

    loss: float  # mean, without penalty
    score: float  # accuracy, or the coefficient of determination


def _least_squares(n_rows: int, l2: float | None, l1: float | None) -> Any:
    if l1:
        return Lasso(l1)
    return Ridge(l2 * n_rows) if l2 else LinearRegression()


def from_csv(path: Path, model: str) -> DataSet:
    """Return the rows of a CSV with a header and the label in the last column."""
    rows = np.genfromtxt(path, delimiter=",", skip_header=1)
    return DataSet(path.stem, rows[:, :-1], rows[:, -1], {"name": model})


def _cancer() -> DataSet:
    X, y = datasets.load_breast_cancer(return_X_y=True)
    return DataSet("cancer", X, y, {"name": "logistic_regression", "l2": 0.01})


def _margins(loss: str) -> DataSet:
    X, y = datasets.load_breast_cancer(return_X_y=True)
    return DataSet(loss, X, y, {"name": "svm", "loss": loss, "l2": 0.01})


def _digits() -> DataSet:
    X, y = datasets.load_digits(return_X_y=True)
    return DataSet("digits", X, y, {"name": "softmax_regression", "l2": 0.01})


def _wine() -> DataSet:
    X, y = datasets.load_wine(return_X_y=True)
    return DataSet("wine", X, y, {"name": "softmax_regression", "l2": 0.01})


def _diabetes() -> DataSet:
    X, y = datasets.load_diabetes(return_X_y=True, scaled=False)
    return DataSet("diabetes", X, y, {"name": "linear_regression"})


def _correlated(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return features that depend on each other, of scales from 1e-3 to 1e3."""
    X = rng.normal(size=(N_ROWS, 4)) @ rng.normal(size=(4, 10))
    X += 0.2 * rng.normal(size=X.shape)
    scaled: NDArray[np.float64] = X * 10.0 ** np.linspace(-3, 3, 10)
    return scaled


def _telescope() -> DataSet:
    rng = np.random.default_rng(1)
    X = _correlated(rng)
    z = StandardScaler().fit_transform(X) @ rng.normal(size=10)
    y = (z + rng.logistic(size=N_ROWS) > 0).astype(float)
    return DataSet("correlated", X, y, {"name": "logistic_regression"})


def _shuttle() -> DataSet:
    rng = np.random.default_rng(2)
    X = rng.normal(size=(N_ROWS, 9)) * [50, 1, 20, 1, 100, 1, 1, 3, 3]
    z = StandardScaler().fit_transform(X) @ [3, 0.5, 2, 0, -2, 0.2, 3, 1, 1]
    y = (z + 0.6 * rng.normal(size=N_ROWS) > np.quantile(z, 0.93)).astype(float)
    return DataSet("imbalanced", X, y, {"name": "logistic_regression"})


def _prices() -> DataSet:
    rng = np.random.default_rng(3)
    X = _correlated(rng)
    z = StandardScaler().fit_transform(X) @ rng.normal(size=10)
    return DataSet(
        "prices", X, 4e5 + 1e5 * (z + rng.normal(size=N_ROWS)), {"name": "linear_regression"}
    )


def _large() -> DataSet:
    """Return rows of which the sample is a part."""
    rng = np.random.default_rng(5)
    X = rng.normal(size=(100_000, 12)) @ rng.normal(size=(12, 60))
    X = StandardScaler().fit_transform(X + rng.normal(size=X.shape))
    z = X @ rng.normal(size=60) + rng.logistic(size=len(X))
    y = (z > np.quantile(z, 0.9)).astype(float)
    return DataSet("large", X, y, {"name": "logistic_regression"})


def _lasso(name: str) -> DataSet:
    rng = np.random.default_rng(6)
    X = _correlated(rng)
    z = StandardScaler().fit_transform(X) @ [2, 0, 0, -1, 0, 0, 1, 0, 0, 0]
    y = z + rng.logistic(size=N_ROWS)
    if name == "logistic_regression":
        return DataSet("l1", X, (y > 0).astype(float), {"name": name, "l1": 0.01})
    return DataSet("lasso", X, y, {"name": name, "l1": 0.05})


def _text() -> DataSet:
    return _texts("text", 3000, 2000, 2, {"name": "logistic_regression", "l2": 1e-3})


def _texts(name: str, rows: int, n_words: int, classes: int, model: dict[str, Any]) -> DataSet:
    """Return rows like TF-IDF."""
    rng = np.random.default_rng(4)
    common = 1 / np.arange(1, n_words + 1)
    common /= common.sum()
    others = [common * np.exp(rng.normal(size=n_words)) for _ in range(classes - 1)]
    shares = [common, *(other / other.sum() for other in others)]
    y = (rng.random(rows) < 0.35).astype(int) if classes == 2 else rng.integers(classes, size=rows)
    X = np.array([rng.multinomial(60, shares[each]) for each in y], np.float32)
    X /= np.sqrt(common).astype(np.float32)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    return DataSet(name, X, y.astype(float), model, is_sparse=True)


SETS: dict[str, Callable[[], DataSet]] = {
    "cancer": _cancer,
    "digits": _digits,
    "wine": _wine,
    "diabetes": _diabetes,
    "correlated": _telescope,
    "imbalanced": _shuttle,
    "prices": _prices,
    "text": _text,
    "large": _large,
    "words": partial(_texts, "words", 6000, 20_000, 2, {"name": "logistic_regression"}),
    "topics": partial(_texts, "topics", 6000, 800, 100, {"name": "softmax_regression"}),
    "lasso": partial(_lasso, "linear_regression"),
    "l1": partial(_lasso, "logistic_regression"),
    "hinge": partial(_margins, "hinge"),
    "squared_hinge": partial(_margins, "squared_hinge"),
}

"""Linear models, against mathematics and scikit-learn."""

from __future__ import annotations

import json
import re
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from scipy import special
from sklearn import linear_model, metrics, svm
from sklearn.utils import class_weight

from stepml.job import models
from stepml.job.errors import BadLabelError, NotAvailableError
from stepml.job.spec_base import tag
from stepml.ml.matrices import Floats, Matrix
from stepml.ml.models import (
    BinarySvm,
    LinearModel,
    LinearRegression,
    LogisticRegression,
    OneVsRestSvm,
    Penalty,
    SoftmaxRegression,
    build_model,
    restore_model,
)
from stepml.ml.models.classifiers import BinaryClassifier, MulticlassClassifier
from tests.support.matrices import sparse_of

N_FEATURES = 5
Sums = np.ndarray[Any, np.dtype[np.float64]]


def rows(n_samples: int = 200, labels: tuple[float, ...] = (0, 1), seed: int = 0) -> Any:
    """Return rows with many zeros, some of them empty, and labels that depend on them."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, N_FEATURES)).astype(np.float32)
    X[rng.random(X.shape) < 0.5] = 0
    z = X @ rng.normal(size=(N_FEATURES, len(labels))) + rng.gumbel(size=(n_samples, len(labels)))
    return X, np.array(labels, np.float32)[z.argmax(axis=1)]


def regression_rows(n_samples: int = 200) -> Any:
    rng = np.random.default_rng(4)
    X, _ = rows(n_samples)
    y = X @ rng.normal(size=N_FEATURES) + 2 + rng.normal(size=n_samples) / 3
    return X, y.astype(np.float32)


def logistic(z: Sums, labels: Floats, positive: float) -> Sums:
    return np.logaddexp(0, np.where(labels == positive, -z, z))


def softmax(z: Sums, labels: Floats, classes: tuple[float, ...]) -> Sums:
    own = np.searchsorted(classes, labels)
    return special.logsumexp(z, axis=1) - z[np.arange(len(z)), own]


def hinge(z: Sums, labels: Floats, positive: float) -> Sums:
    return np.maximum(0, 1 - np.where(labels == positive, z, -z))


def hinges(z: Sums, labels: Floats, classes: tuple[float, ...]) -> Sums:
    return sum(hinge(z[:, k], labels, label) for k, label in enumerate(classes))


@dataclass(frozen=True)
class Case:
    """A model, its labels, and the textbook loss of each row."""

    name: str
    asked: models.Model
    labels: tuple[float, ...]
    losses: Callable[[Sums, Floats], Sums]
    weights: dict[float, float] | None = None

    def rows(self, n_samples: int = 200) -> tuple[Floats, Floats]:
        return rows(n_samples, self.labels) if self.labels else regression_rows(n_samples)

    def model(self) -> LinearModel:
        _, labels = self.rows()
        counts = [int(np.sum(labels == label)) for label in self.labels]
        model = build_model(self.asked, N_FEATURES, self.labels or None, counts)
        assert isinstance(model, LinearModel)
        return model

    def objective(self, w: Sums, X: Floats, labels: Floats) -> float:
        n_outputs = len(w) // (N_FEATURES + 1)
        z = X.astype(np.float64) @ w[:-n_outputs].reshape(N_FEATURES, n_outputs) + w[-n_outputs:]
        losses = self.losses(z[:, 0] if n_outputs == 1 else z, labels)
        if self.weights:
            losses = losses * [self.weights[float(label)] for label in labels]
        return float(losses.mean())


def balanced(labels: tuple[float, ...]) -> dict[float, float]:
    _, y = rows(200, labels)
    return {label: len(y) / (len(labels) * np.sum(y == label)) for label in labels}


def balanced_sides(positive: float, labels: tuple[float, ...]) -> dict[float, float]:
    _, y = rows(200, labels)
    sides = (y == positive).astype(int)
    weights = class_weight.compute_class_weight("balanced", classes=np.arange(2), y=sides)
    return {label: float(weights[int(label == positive)]) for label in labels}


TWO, THREE = (-1.0, 1.0), (1.0, 2.5, 7.0)
WHOLE = (1.0, 2.0, 7.0)  # scikit-learn does not accept fractions as classes
SOME = {"1": 0.5, "7": 3.0}
HALVES = {1.0: 0.5, 2.5: 1.0, 7.0: 3.0}
SIDES = balanced_sides(2.5, THREE)
SQUARED = models.Svm(loss="squared_hinge")


def squared_hinges(z: Sums, labels: Floats) -> Sums:
    return sum(hinge(z[:, k], labels, label) ** 2 for k, label in enumerate(THREE))


CASES = [
    Case("logistic", models.LogisticRegression(), TWO, lambda z, y: logistic(z, y, 1)),
    Case(
        "logistic, the smaller label",
        models.LogisticRegression(positive_class=-1),
        TWO,
        lambda z, y: logistic(z, y, -1),
    ),
    Case(
        "logistic, one label of three",
        models.LogisticRegression(positive_class=2.5),
        THREE,
        lambda z, y: logistic(z, y, 2.5),
    ),
    Case(
        "logistic, weighted",
        models.LogisticRegression(positive_class=2.5, class_weight=SOME),
        THREE,
        lambda z, y: logistic(z, y, 2.5),
        HALVES,
    ),
    Case(
        "logistic, balanced",
        models.LogisticRegression(class_weight="balanced"),
        TWO,
        lambda z, y: logistic(z, y, 1),
        balanced(TWO),
    ),
    Case(
        "logistic, one label of three, balanced",
        models.LogisticRegression(positive_class=2.5, class_weight="balanced"),
        THREE,
        lambda z, y: logistic(z, y, 2.5),
        SIDES,
    ),
    Case(
        "logistic, a weight of 0",
        models.LogisticRegression(class_weight={"1": 0.0}),
        TWO,
        lambda z, y: logistic(z, y, 1),
        {-1: 1, 1: 0},
    ),
    Case("softmax", models.SoftmaxRegression(), THREE, lambda z, y: softmax(z, y, THREE)),
    Case("softmax of two", models.SoftmaxRegression(), TWO, lambda z, y: softmax(z, y, TWO)),
    Case(
        "softmax, weighted",
        models.SoftmaxRegression(class_weight=SOME),
        THREE,
        lambda z, y: softmax(z, y, THREE),
        HALVES,
    ),
    Case(
        "softmax, balanced",
        models.SoftmaxRegression(class_weight="balanced"),
        THREE,
        lambda z, y: softmax(z, y, THREE),
        balanced(THREE),
    ),
    Case("svm", models.Svm(), TWO, lambda z, y: hinge(z, y, 1)),
    Case(
        "svm, one label of three",
        models.Svm(positive_class=7, class_weight=SOME),
        THREE,
        lambda z, y: hinge(z, y, 7),
        HALVES,
    ),
    Case(
        "svm, one label of three, balanced",
        models.Svm(positive_class=2.5, class_weight="balanced"),
        THREE,
        lambda z, y: hinge(z, y, 2.5),
        SIDES,
    ),
    Case(
        "svm, one against the rest, balanced",
        models.Svm(class_weight="balanced"),
        THREE,
        lambda z, y: hinges(z, y, THREE),
        balanced(THREE),
    ),
    Case("svm, one against the rest", models.Svm(), THREE, lambda z, y: hinges(z, y, THREE)),
    Case(
        "svm, one against the rest, weighted",
        models.Svm(class_weight=SOME),
        THREE,
        lambda z, y: hinges(z, y, THREE),
        HALVES,
    ),
    Case("squared svm", SQUARED, TWO, lambda z, y: hinge(z, y, 1) ** 2),
    Case(
        "squared svm, one label of three, weighted",
        models.Svm(loss="squared_hinge", positive_class=7, class_weight=SOME),
        THREE,
        lambda z, y: hinge(z, y, 7) ** 2,
        HALVES,
    ),
    Case("squared svm, one against the rest", SQUARED, THREE, squared_hinges),
    Case(
        "squared svm, one against the rest, weighted",
        models.Svm(loss="squared_hinge", class_weight=SOME),
        THREE,
        squared_hinges,
        HALVES,
    ),
    Case("linear", models.LinearRegression(), (), lambda z, y: (z - y) ** 2 / 2),
]
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
each_matrix = pytest.mark.parametrize("matrix", [lambda X: X, sparse_of], ids=["dense", "sparse"])


def parameters(model: LinearModel, seed: int = 1) -> Floats:
    return np.random.default_rng(seed).normal(size=model.n_parameters).astype(np.float32)


@each_matrix
@each_case
def test_the_gradient_is_that_of_the_loss(case: Case, matrix: Callable[[Floats], Matrix]) -> None:
    (X, labels), model = case.rows(), case.model()
    w = parameters(model)
    gradient = np.full_like(w, np.nan)  # every element must be overwritten
    loss = model.gradient(w, matrix(X), model.targets(labels), out=gradient)
    wide, step = w.astype(np.float64), 1e-6
    assert loss == pytest.approx(case.objective(wide, X, labels), rel=1e-5, abs=1e-7)
    for position in range(len(w)):
        shift = np.zeros(len(w))
        shift[position] = step
        ahead = case.objective(wide + shift, X, labels)
        slope = (ahead - case.objective(wide - shift, X, labels)) / (2 * step)
        assert gradient[position] == pytest.approx(slope, abs=2e-5)


@each_case
def test_only_hinge_losses_are_smoothed_and_hardly_changed(case: Case) -> None:
    (X, labels), model = case.rows(), case.model()
    w, width = parameters(model), 0.5
    y, smooth = model.targets(labels), model.smoothed(width)
    if smooth is None:
        assert model.curvature(X, y) is not None
        return
    assert model.curvature(X, y) is None
    assert smooth.curvature(X, y) is not None
    gradient, other = np.empty_like(w), np.empty_like(w)
    loss, exact = (each.gradient(w, X, y, out=gradient) for each in (smooth, model))
    assert exact - width / 2 * model.n_outputs * 3 <= loss < exact  # a weight is at most 3
    smooth.gradient(w, X, y, out=gradient)
    for position in range(len(w)):
        shift, step = np.zeros_like(w), np.float32(1e-2)
        shift[position] = step
        ahead = smooth.gradient(w + shift, X, y, out=other)
        slope = (ahead - smooth.gradient(w - shift, X, y, out=other)) / (2 * step)
        assert gradient[position] == pytest.approx(slope, abs=2e-3)


@each_matrix
@each_case
def test_evaluation_in_blocks_is_evaluation_of_all_rows(
    case: Case, matrix: Callable[[Floats], Matrix]
) -> None:
    (X, labels), model = case.rows(40_000), case.model()
    w = parameters(model)
    found = model.evaluate(w, matrix(X), model.targets(labels))
    assert found.loss == pytest.approx(case.objective(w.astype(np.float64), X, labels), rel=1e-5)
    predicted, z = model.predict(w, matrix(X)), model.scores(w, matrix(X))
    if isinstance(model, LinearRegression):
        assert found.metrics == {
            "rmse": pytest.approx(metrics.root_mean_squared_error(labels, predicted), rel=1e-5),
            "mae": pytest.approx(metrics.mean_absolute_error(labels, predicted), rel=1e-5),
            "r2": pytest.approx(metrics.r2_score(labels, predicted), rel=1e-5),
        }
        return
    is_binary = isinstance(model, LogisticRegression | BinarySvm)
    own = labels == np.float32(model.positive) if is_binary else labels  # type: ignore[attr-defined]
    guessed = z > 0 if is_binary else predicted
    # scikit-learn refuses fractions as classes.
    _, numbers = np.unique(np.concatenate([own, guessed]), return_inverse=True)
    numbered = np.split(numbers, 2)
    average = "binary" if is_binary else "macro"
    scores = metrics.precision_recall_fscore_support(*numbered, average=average)
    expected = dict(zip(("precision", "recall", "f1"), map(pytest.approx, scores), strict=False))
    expected["accuracy"] = pytest.approx(np.mean(guessed == own))
    if is_binary:
        expected["auc"] = pytest.approx(metrics.roc_auc_score(own, z))
        expected["average_precision"] = pytest.approx(metrics.average_precision_score(own, z))
    if isinstance(model, LogisticRegression | SoftmaxRegression):
        chances = model.probabilities(w, matrix(X))
        if is_binary and model.classes[0] == model.positive:  # type: ignore[union-attr]
            chances = chances[:, ::-1]
        expected["log_loss"] = pytest.approx(metrics.log_loss(numbered[0], chances), rel=1e-5)
    assert found.metrics == expected


@each_case
def test_rows_are_counted_by_class_and_prediction(case: Case) -> None:
    (X, labels), model = case.rows(), case.model()
    if not isinstance(model, BinaryClassifier | MulticlassClassifier):
        return
    w = parameters(model)
    own, predicted = labels, model.predict(w, X)
    if isinstance(model, BinaryClassifier) and model.negative is None:
        own = (labels == np.float32(model.positive)).astype(np.float32)
    expected = [
        [np.sum((own == np.float32(a)) & (predicted == np.float32(b))) for b in model.classes]
        for a in model.classes
    ]
    assert model.confusion(w, X, model.targets(labels)).tolist() == expected


@each_case
def test_evaluating_and_differentiating_change_no_input(case: Case) -> None:
    (X, labels), model = case.rows(), case.model()
    w, y = parameters(model), model.targets(labels)
    before = X.tobytes(), y.tobytes(), w.tobytes(), labels.tobytes()
    for array in (X, y, w):
        array.flags.writeable = False  # as read from the store
    model.gradient(w, X, y, out=np.empty_like(w))
    model.evaluate(w, X, y)
    model.predict(w, X)
    assert (X.tobytes(), y.tobytes(), w.tobytes(), labels.tobytes()) == before


@each_matrix
@each_case
def test_a_model_that_diverged_is_known_by_its_loss_alone(
    case: Case, matrix: Callable[[Floats], Matrix]
) -> None:
    (X, labels), model = case.rows(), case.model()
    w, y = np.copysign(np.float32(3e38), parameters(model)), model.targets(labels)
    assert not np.isfinite(model.gradient(w, matrix(X), y, out=np.empty_like(w)))
    assert not np.isfinite(model.evaluate(w, matrix(X), y).loss)


@each_matrix
@each_case
def test_the_gradient_of_a_whole_shard_keeps_its_digits(
    case: Case, matrix: Callable[[Floats], Matrix]
) -> None:
    (X, labels), model = case.rows(100_003), case.model()
    w, y = parameters(model), model.targets(labels)
    gradient, part, total, losses = np.empty_like(w), np.empty_like(w), np.zeros(len(w)), 0.0
    loss = model.gradient(w, matrix(X), y, out=gradient)
    for start in range(0, len(y), 1000):
        several = slice(start, start + 1000)
        n = len(y[several])
        losses += n * model.gradient(w, X[several], y[several], out=part)
        total += n * part.astype(np.float64)
    assert loss == pytest.approx(losses / len(y), rel=2e-7)
    assert gradient == pytest.approx(total / len(y), rel=3e-6, abs=1e-7)


@each_matrix
@pytest.mark.parametrize("n_outputs", [3, 60, 400])
def test_the_gradient_of_a_whole_shard_needs_little_memory(
    n_outputs: int, matrix: Callable[[Floats], Matrix]
) -> None:
    X, _ = rows(60_000)
    model = SoftmaxRegression(N_FEATURES, range(n_outputs))
    w, whole, y = parameters(model), matrix(X), np.arange(len(X), dtype=np.int32) % n_outputs
    tracemalloc.start()
    model.gradient(w, whole, y, out=np.empty_like(w))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 2**20 * 25  # decision values of 60,000 rows × 400 outputs are 96 MB


@each_case
def test_rows_one_at_a_time_make_up_the_gradient_of_all(case: Case) -> None:
    (X, labels), model = case.rows(37), case.model()
    w, y = parameters(model), model.targets(labels)
    whole, part, total = np.empty_like(w), np.empty_like(w), np.zeros(len(w))
    loss = model.gradient(w, X, y, out=whole)
    losses = []
    for row in range(37):
        losses.append(model.gradient(w, X[row : row + 1], y[row : row + 1], out=part))
        total += part
    assert whole == pytest.approx(total / 37, abs=1e-5)
    assert loss == pytest.approx(np.mean(losses), rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("z", [0.0, 1e-3, 1.0, 20.0, 87.0, 88.5, 100.0, 1000.0, 1e30])
@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("weight", [None, {-1.0: 1.0, 1.0: 1.0}])
def test_the_log_loss_is_exact_however_far_from_the_boundary(
    z: float, side: int, weight: dict[float, float] | None
) -> None:
    model = LogisticRegression(1, positive=1, negative=-1, weights=weight)
    w, X = np.array([side, 0], np.float32), np.array([[z]], np.float32)
    y, gradient = model.targets(np.ones(1, np.float32)), np.empty(2, np.float32)
    wide = float(np.float32(z))
    loss = model.gradient(w, X, y, out=gradient)
    assert loss == pytest.approx(np.logaddexp(0, -side * wide), rel=1e-6, abs=1e-37)
    assert gradient[1] == pytest.approx(-special.expit(-side * wide), rel=1e-6, abs=1e-37)
    assert np.isfinite(gradient).all()


def test_many_rows_far_on_the_wrong_side_do_not_overflow() -> None:
    model = LogisticRegression(1, positive=1, negative=-1)
    X = np.linspace(-87, 87, 5000, dtype=np.float32)[:, None]
    w = np.array([-1, 0], np.float32)
    found = model.evaluate(w, X, model.targets(np.ones(5000, np.float32)))
    assert found.loss == pytest.approx(np.logaddexp(0, X).mean(), rel=1e-6)


@pytest.mark.parametrize("kind", [SoftmaxRegression, OneVsRestSvm])
def test_several_outputs_stay_finite_far_from_the_boundary(kind: type[LinearModel]) -> None:
    model = kind(1, (0.0, 1.0, 2.0))
    w = np.array([1000, -1000, 0, 0, 0, 0], np.float32)
    gradient = np.empty(6, np.float32)
    loss = model.gradient(w, np.ones((3, 1), np.float32), np.arange(3), out=gradient)
    assert loss == pytest.approx(1000 if kind is SoftmaxRegression else 4010 / 3, rel=1)
    assert np.isfinite(gradient).all()


def test_a_row_on_the_margin_pulls_nowhere() -> None:
    model = BinarySvm(1, positive=1, negative=0)
    gradient = np.empty(2, np.float32)
    X, y = np.array([[1.0], [2.0]], np.float32), model.targets(np.array([1, 1], np.float32))
    assert model.gradient(np.array([1, 0], np.float32), X, y, out=gradient) == 0
    assert gradient.tolist() == [0, 0]
    assert model.gradient(np.array([0.5, 0], np.float32), X, y, out=gradient) == 0.25
    assert gradient.tolist() == [-0.5, -0.5]


def test_loss_and_probabilities_are_those_of_scikit_learn() -> None:
    X, labels = rows(2000, WHOLE)
    theirs = linear_model.LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000).fit(X, labels)
    ours = build_model(models.SoftmaxRegression(), N_FEATURES, WHOLE)
    assert isinstance(ours, SoftmaxRegression)
    w = ours.parameters({"coefficients": theirs.coef_, "intercept": theirs.intercept_})
    assert ours.probabilities(w, X) == pytest.approx(theirs.predict_proba(X), abs=1e-6)
    assert ours.predict(w, X).tolist() == theirs.predict(X).tolist()
    found = ours.evaluate(w, X, ours.targets(labels))
    assert found.loss == pytest.approx(metrics.log_loss(labels, theirs.predict_proba(X)), rel=1e-5)
    assert found.metrics["accuracy"] == pytest.approx(theirs.score(X, labels))


def test_the_sparse_product_of_one_against_the_rest_is_that_of_scikit_learn() -> None:
    X, labels = rows(500, WHOLE)
    theirs = svm.LinearSVC(loss="hinge", max_iter=100_000).fit(X, labels)
    ours = OneVsRestSvm(N_FEATURES, WHOLE)
    w = ours.parameters({"coefficients": theirs.coef_, "intercept": theirs.intercept_})
    assert ours.scores(w, sparse_of(X)) == pytest.approx(theirs.decision_function(X), abs=1e-5)
    assert ours.predict(w, sparse_of(X)).tolist() == theirs.predict(X).tolist()


@pytest.mark.parametrize(
    ("asked", "labels", "classes"),
    [
        (models.LogisticRegression(), (0, 3), [0, 3]),
        (models.LogisticRegression(positive_class=0), (0, 3), [0, 3]),
        (models.LogisticRegression(positive_class=0), (0, 3, 4), [0, 1]),
        (models.LogisticRegression(positive_class=0.1), (0.1, 0.2), [0.1, 0.2]),
    ],
)
def test_probabilities_are_in_the_order_of_the_classes(
    asked: models.LogisticRegression, labels: tuple[float, ...], classes: list[float]
) -> None:
    model = build_model(asked, 1, labels)
    assert isinstance(model, LogisticRegression)
    assert model.describe()["classes"] == classes
    w, X = np.array([1, 0.5], np.float32), np.array([[1], [-1]], np.float32)
    found = model.probabilities(w, X)
    assert found.sum(axis=1) == pytest.approx([1, 1])
    names = np.array(classes, np.float32)
    assert model.predict(w, X).tolist() == names[found.argmax(axis=1)].tolist()
    assert found.max(axis=1) == pytest.approx(special.expit([1.5, 0.5]))


@each_case
def test_a_model_is_restored_from_its_artifact(case: Case) -> None:
    (X, labels), model = case.rows(), case.model()
    w = parameters(model)
    card = json.loads(
        json.dumps({"model": tag(case.asked), "n_features": N_FEATURES, **model.describe()})
    )
    restored = restore_model(card)
    arrays = {name: array.copy() for name, array in model.arrays(w).items()}
    again = restored.parameters(arrays)
    assert again.tobytes() == w.tobytes()
    assert restored.n_parameters == len(w)
    assert restored.predict(again, X).tobytes() == model.predict(w, X).tobytes()
    if case.weights is None:
        mine, theirs = (each.evaluate(w, X, each.targets(labels)) for each in (model, restored))
        assert mine == theirs


@pytest.mark.parametrize(
    ("asked", "labels", "shapes"),
    [
        (models.LogisticRegression(), TWO, {"coefficients": (5,), "intercept": (1,)}),
        (models.SoftmaxRegression(), TWO, {"coefficients": (2, 5), "intercept": (2,)}),
        (models.Svm(), THREE, {"coefficients": (3, 5), "intercept": (3,)}),
        (models.LinearRegression(), None, {"coefficients": (5,), "intercept": (1,)}),
        (models.KMeans(n_clusters=3), None, {"centroids": (3, 5)}),
    ],
)
def test_artifacts_have_arrays_of_the_usual_shapes(
    asked: models.Model, labels: tuple[float, ...] | None, shapes: dict[str, tuple[int, ...]]
) -> None:
    model = build_model(asked, N_FEATURES, labels)
    arrays = model.arrays(np.zeros(model.n_parameters, np.float32))
    assert {name: array.shape for name, array in arrays.items()} == shapes


def test_one_label_of_many_is_predicted_as_1_and_the_others_as_0() -> None:
    model = build_model(models.Svm(positive_class=7), 1, THREE)
    w, X = np.array([1, 0], np.float32), np.array([[2], [-2]], np.float32)
    assert model.predict(w, X).tolist() == [1, 0]


def test_no_rows_have_no_predictions() -> None:
    for case in CASES:
        model = case.model()
        assert model.predict(parameters(model), np.zeros((0, N_FEATURES), np.float32)).shape == (0,)


CLASSIFIERS = [models.LogisticRegression, models.SoftmaxRegression, models.Svm]


@pytest.mark.parametrize("kind", CLASSIFIERS)
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            None,
            "not classes: there are more than 1,000 different ones; is data.label the right column",
        ),
        (tuple(range(1001)), "not classes: there are more than 1,000 different ones"),
        ((3,), "needs two labels; the data have only: 3"),
        ((), "needs two labels; the data have only: "),
        ((0, np.inf), "expected finite labels, got 0, inf"),
        ((0, np.nan), "expected finite labels, got 0, nan"),
        ((0, 2.0**25), r"beyond ±16,777,216; the data have 33554432"),
    ],
)
def test_labels_that_are_no_classes_are_refused(
    kind: Any, labels: tuple[float, ...] | None, message: str
) -> None:
    with pytest.raises(BadLabelError, match=message):
        build_model(kind(), 3, labels)


@pytest.mark.parametrize("kind", [models.LogisticRegression, models.Svm])
def test_a_positive_class_that_is_no_label_is_refused(kind: Any) -> None:
    message = r"model.positive_class: expected a label of the data \(1, 2, 3\), got 4"
    with pytest.raises(BadLabelError, match=message):
        build_model(kind(positive_class=4), 3, (1, 2, 3))


def test_logistic_regression_asks_which_of_many_labels_is_meant() -> None:
    with pytest.raises(BadLabelError) as caught:
        build_model(models.LogisticRegression(), 3, (1, 2, 3))
    assert str(caught.value) == (
        "logistic_regression needs two labels, the data have 3 (1, 2, 3); to learn all of them, "
        "choose model softmax_regression, svm, neural or custom; to learn one against the rest, "
        "set model.positive_class"
    )


@pytest.mark.parametrize("kind", CLASSIFIERS)
@pytest.mark.parametrize("text", ["3", "one", "", "nan", "inf", "1e999"])
def test_a_weight_for_what_is_no_label_is_refused(kind: Any, text: str) -> None:
    message = rf"model.class_weight: expected labels of the data \(1, 2\), got '{text}'"
    with pytest.raises(BadLabelError, match=message):
        build_model(kind(class_weight={text: 1.0}), 3, (1, 2))


@pytest.mark.parametrize("kind", CLASSIFIERS)
@pytest.mark.parametrize("texts", [("1", "1.0"), ("1", "1.00000000001"), ("+1", "1e0")])
def test_two_weights_for_one_label_are_refused(kind: Any, texts: tuple[str, str]) -> None:
    message = f"model.class_weight: label 1 appears twice: {texts[0]!r} and {texts[1]!r}"
    with pytest.raises(BadLabelError, match=re.escape(message)):
        build_model(kind(class_weight=dict.fromkeys(texts, 2.0)), 3, (1, 2))


@pytest.mark.parametrize("kind", CLASSIFIERS)
@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_weights_that_are_zero_for_all_labels_are_refused(kind: Any, zero: float) -> None:
    message = r"model.class_weight: expected a weight above 0 for at least one label .*\(1, 2\)"
    with pytest.raises(BadLabelError, match=message):
        build_model(kind(class_weight={"1": zero, "2": zero}), 3, (1, 2))


def test_weights_find_labels_as_they_are_stored() -> None:
    labels = [float(np.float32(0.1)), float(np.float32(0.2))]
    model = build_model(models.LogisticRegression(class_weight={"0.1": 3}), 1, labels)
    assert model.targets(np.array(labels, np.float32)).tolist() == [-3, 1]


@pytest.mark.parametrize("kind", [models.SoftmaxRegression, models.Svm])
def test_a_label_that_was_not_learnt_is_refused(kind: Any) -> None:
    model = build_model(kind(), 1, (1, 2, 3))
    with pytest.raises(BadLabelError, match=r"labels that were learnt \(1, 2, 3\), got 2.5"):
        model.targets(np.array([1, 2.5], np.float32))


def test_a_model_of_a_later_version_is_named() -> None:
    with pytest.raises(NotAvailableError, match="model 'forest' is not known to this version; kno"):
        restore_model({"model": "forest", "n_features": 3})


def test_penalties_come_from_the_spec_and_leave_intercepts_alone() -> None:
    assert build_model(models.SoftmaxRegression(l2=2), 5, THREE).penalty == Penalty(0, 2, 15)
    assert build_model(models.LinearRegression(l1=1, l2=2), 5, None).penalty == Penalty(1, 2, 5)


@pytest.mark.parametrize(("l1", "l2"), [(0, 0), (0, 0.7), (0.3, 0), (0.3, 0.7)])
def test_penalties_are_minimised_where_their_slope_ends(l1: float, l2: float) -> None:
    start = np.array([2.0, -2.0, 0.1, -0.1, 5.0], np.float32)
    penalty, weight, w = Penalty(l1, l2, 4), 1.5, start.copy()
    penalty.minimise_near(w, weight)
    assert w[4] == 5  # an intercept

    def objective(at: Sums) -> float:
        coefficients = at[:4]
        smooth = l2 / 2 * coefficients @ coefficients + weight / 2 * np.sum((at - start) ** 2)
        return float(l1 * np.abs(coefficients).sum() + smooth)

    least = objective(w.astype(np.float64))
    for shift in np.random.default_rng(0).normal(size=(100, 5)) * 1e-3:
        assert objective(w + shift) >= least - 1e-7


def test_the_penalty_adds_its_slope() -> None:
    out = np.ones(3, np.float32)
    Penalty(l2=0.5, n_coefficients=2).add_gradient(np.array([2, -4, 6], np.float32), out)
    assert out.tolist() == [2, -1, 1]

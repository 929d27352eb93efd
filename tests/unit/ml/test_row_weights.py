"""A row of weight 2 counts as two rows, one of weight 0 as none: in losses, metrics and minima.

Minima are compared with scikit-learn's, whose weights mean the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.cluster import KMeans as KMeansReference
from sklearn.linear_model import ElasticNet, Ridge
from sklearn.linear_model import LogisticRegression as LogisticReference
from sklearn.svm import LinearSVC

from stepml.job import algorithms, models
from stepml.ml.matrices import CsrMatrix
from stepml.ml.models import DataFacts, KMeans, LossModel, initial_centroids
from stepml.ml.models.base import Array, Floats, Matrix, Model
from stepml.ml.models.row_weights import facts_by_weight, weighted
from tests.support.learning import InFlightEpoch, Orchestra, job_of, model_for

N, D, L2 = 400, 5, 0.02
RNG = np.random.default_rng(7)
TIMES = RNG.integers(0, 4, N)  # the weight of each row; some are 0
WEIGHTS = (TIMES / TIMES.mean()).astype(np.float32)
REPEATED = np.repeat(np.arange(N), TIMES)
X = RNG.normal(size=(N, D)).astype(np.float32)
LABELS = {
    "numbers": (X @ [1.0, 0, -2, 0.5, 0] + 3 + RNG.normal(size=N)).astype(np.float32),
    "two": (X @ [1.0, 0, -2, 0.5, 0] + RNG.normal(size=N) > 0.5).astype(np.float32),
    "three": np.argmax(X[:, :3] + RNG.gumbel(size=(N, 3)), axis=1).astype(np.float32),
}

LINEAR: list[tuple[models.Model, str]] = [
    (models.LinearRegression(), "numbers"),
    (models.LogisticRegression(), "two"),
    (models.LogisticRegression(class_weight={"1": 3.0, "0": 0.5}), "two"),
    (models.SoftmaxRegression(), "three"),
    (models.SoftmaxRegression(class_weight={"0": 2.0, "1": 0.0, "2": 1.0}), "three"),
    (models.Svm(), "two"),
    (models.Svm(loss="squared_hinge"), "two"),
    (models.Svm(), "three"),
    (models.Svm(loss="squared_hinge", class_weight={"0": 2.0, "1": 1.0, "2": 1.0}), "three"),
]


def sparse(rows: Floats) -> CsrMatrix:
    found = csr_matrix(rows)
    indptr = found.indptr.astype(np.int64)
    return CsrMatrix(indptr, found.indices, found.data, rows.shape[1], block_pairs=600)


def pair(model: Model, labels: Floats) -> tuple[Array, Array]:
    """Return the targets of weighted rows, and those of repeated ones."""
    return weighted(model.targets(labels), WEIGHTS), model.targets(labels[REPEATED])


@pytest.mark.parametrize("as_matrix", [np.ascontiguousarray, sparse])
@pytest.mark.parametrize(("spec", "kind"), LINEAR, ids=str)
def test_weights_repeat_rows_in_the_loss_of_linear_models(
    spec: models.Model, kind: str, as_matrix: Any
) -> None:
    labels = LABELS[kind]
    model = model_for(spec, X, labels)
    assert isinstance(model, LossModel)
    y, repeated = pair(model, labels)
    own, others = as_matrix(X), as_matrix(X[REPEATED])
    for scale in (0.3, 40.0):  # also where exponentials would overflow
        w = (scale * RNG.normal(size=model.n_parameters)).astype(np.float32)
        by_weight, by_rows = np.empty_like(w), np.empty_like(w)
        loss = model.gradient(w, own, y, out=by_weight)
        assert loss == pytest.approx(model.gradient(w, others, repeated, out=by_rows), rel=1e-5)
        size = float(np.abs(by_rows).max())
        np.testing.assert_allclose(by_weight, by_rows, rtol=1e-4, atol=1e-4 * size)
        same_quality(model.evaluate(w, own, y), model.evaluate(w, others, repeated))
    curvature = model.curvature(own, y)
    if curvature is not None and not getattr(model, "weights", None):
        np.testing.assert_allclose(curvature, model.curvature(others, repeated), rtol=1e-5)


def same_quality(found: Any, expected: Any) -> None:
    assert found.loss == pytest.approx(expected.loss, rel=1e-5)
    assert found.metrics.keys() == expected.metrics.keys()
    assert found.metrics == pytest.approx(expected.metrics, rel=1e-5)


def parameters_of(estimator: Any) -> Floats:
    coefficients, intercepts = np.atleast_2d(estimator.coef_), np.atleast_1d(estimator.intercept_)
    return np.concatenate([coefficients.T.ravel(), intercepts]).astype(np.float32)


def logistic(labels: Floats, weights: Floats) -> Any:
    found = LogisticReference(C=1 / (L2 * N), tol=1e-9, max_iter=5000)
    return found.fit(X, labels, sample_weight=weights)


MINIMA: dict[str, tuple[models.Model, algorithms.Algorithm, str, Any]] = {
    "logistic": (models.LogisticRegression(l2=L2), algorithms.Admm(), "two", logistic),
    "softmax": (models.SoftmaxRegression(l2=L2), algorithms.Admm(), "three", logistic),
    "ridge": (
        models.LinearRegression(l2=L2),
        algorithms.LeastSquares(),
        "numbers",
        lambda labels, weights: Ridge(alpha=L2 * N).fit(X, labels, sample_weight=weights),
    ),
    "lasso": (
        models.LinearRegression(l1=0.2),
        algorithms.LeastSquares(),
        "numbers",
        lambda labels, weights: ElasticNet(alpha=0.2, l1_ratio=1, tol=1e-6).fit(
            X, labels, sample_weight=weights
        ),
    ),
    "svm": (
        models.Svm(loss="squared_hinge", l2=L2),
        algorithms.Admm(),
        "two",
        lambda labels, weights: LinearSVC(
            C=1 / (L2 * N), intercept_scaling=100, tol=1e-9, max_iter=100_000
        ).fit(X, labels, sample_weight=weights),
    ),
}


@pytest.mark.parametrize("name", MINIMA)
def test_minima_are_those_of_scikit_learn(name: str) -> None:
    spec, algorithm, kind, fit = MINIMA[name]
    weights = (WEIGHTS * RNG.uniform(0.1, 2, N)).astype(np.float32)
    weights /= weights.mean(dtype=np.float64).astype(np.float32)
    labels = LABELS[kind]
    orchestra = Orchestra(job_of(spec, algorithm), X, labels, (150, 90, 160), weights=weights)
    found, model = orchestra.epochs(100), orchestra.model
    assert isinstance(model, LossModel)
    y = weighted(model.targets(labels), weights)

    def objective(w: Floats) -> float:
        return model.gradient(w, X, y, out=np.empty_like(w)) + model.penalty.value(w)

    assert objective(found) <= 1.001 * objective(parameters_of(fit(labels, weights)))


def test_descent_reaches_the_minimum_of_weighted_rows() -> None:
    labels = LABELS["two"]
    spec = models.LogisticRegression(l2=L2)
    rates: dict[str, Any] = {"learning_rate": 0.5, "batch_size": 40, "schedule": "cosine"}
    averaging = job_of(spec, algorithms.ModelAveraging(**rates), max_epochs=20)
    found = Orchestra(averaging, X, labels, 2, weights=WEIGHTS).epochs(20)
    gradients = job_of(spec, algorithms.GradientAveraging(**rates), max_epochs=20)
    state = None
    for number in range(1, 21):
        epoch = InFlightEpoch(gradients, X, labels, 2, number, state=state, weights=WEIGHTS)
        state = epoch.run_all()[0][-1].state
    model = epoch.model
    y = weighted(model.targets(labels), WEIGHTS)
    best = parameters_of(logistic(labels, WEIGHTS))
    assert state is not None
    for w in (found, state.parameters):
        losses = [
            model.gradient(each, X, y, out=np.empty_like(w)) + model.penalty.value(each)
            for each in (w, best)
        ]
        assert losses[0] <= 1.01 * losses[1]


def clustered() -> Floats:
    centres = np.array([[5, 0, 0], [0, 5, 0], [0, 0, 5], [-4, -4, 0]])
    rows = centres[RNG.integers(0, 4, N)] + RNG.normal(size=(N, 3))
    return (rows + 100).astype(np.float32)


@pytest.mark.parametrize("as_matrix", [np.ascontiguousarray, sparse])
def test_weights_repeat_rows_in_clusters(as_matrix: Any) -> None:
    rows = clustered()
    model, w = KMeans(3, 6), np.ascontiguousarray(rows[:6]).ravel()
    found = model.accumulate(w, as_matrix(rows), TIMES.astype(np.float32))
    expected = model.accumulate(w, as_matrix(rows[REPEATED]))
    np.testing.assert_allclose(found.sums, expected.sums, rtol=1e-6)
    assert np.array_equal(found.counts, expected.counts)
    assert found.inertia == pytest.approx(expected.inertia, rel=1e-4)
    y = weighted(np.zeros(N, np.float32), WEIGHTS)
    loss = model.evaluate(w, as_matrix(rows), y).loss
    assert loss == pytest.approx(found.inertia / TIMES.sum(), rel=1e-4)


def test_clusters_are_those_of_scikit_learn() -> None:
    rows = clustered()
    weights = RNG.uniform(0, 3, N).astype(np.float32)
    start = initial_centroids(rows, 4, restarts=2, seed=0, weights=weights)
    reference = KMeansReference(4, init=start.reshape(4, 3), n_init=1, tol=0)
    reference.fit(rows, sample_weight=weights)
    job = job_of(models.KMeans(n_clusters=4), algorithms.ExpectationMaximisation())
    scaled = weights / weights.mean()
    orchestra = Orchestra(job, rows, np.zeros(N, np.float32), 3, start, weights=scaled)
    found = orchestra.epochs(100).reshape(4, 3)
    np.testing.assert_allclose(found, reference.cluster_centers_, rtol=1e-4)


def test_rows_of_weight_0_are_no_first_centroids() -> None:
    rows = np.concatenate([clustered(), np.full((200, 3), 1e4, np.float32)])
    weights = np.append(np.ones(N, np.float32), np.zeros(200, np.float32))
    for as_matrix in (np.ascontiguousarray, sparse):
        matrix: Matrix = as_matrix(rows)
        w = initial_centroids(matrix, 4, restarts=1, seed=0, weights=weights)
        assert w.max() < 1000


def test_a_model_that_ignores_the_features_knows_the_weights() -> None:
    labels = LABELS["three"]

    facts = facts_by_weight(DataFacts(D, [0.0, 1.0, 2.0], [1, 1, 1]), X, labels, WEIGHTS)
    shares = np.bincount(labels[REPEATED].astype(int)) / len(REPEATED)
    np.testing.assert_allclose(np.array(facts.label_weights) / N, shares, rtol=1e-5)
    assert facts.mean_row is not None
    np.testing.assert_allclose(facts.mean_row, X[REPEATED].mean(axis=0), atol=1e-6)
    assert facts.label_mean == pytest.approx(labels[REPEATED].mean(), rel=1e-5)


@pytest.mark.parametrize(("spec", "kind"), LINEAR, ids=str)
def test_rows_without_any_weight_have_no_loss(spec: models.Model, kind: str) -> None:
    model: Any = model_for(spec, X, LABELS[kind])
    y = weighted(model.targets(LABELS[kind]), np.zeros(N, np.float32))
    w = RNG.normal(size=model.n_parameters).astype(np.float32)
    assert model.evaluate(w, X, y).loss == 0

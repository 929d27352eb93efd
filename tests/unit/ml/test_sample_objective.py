"""The minimum of the objective on a sample, and its curvature."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.svm import SVC

from stepml.job import models
from stepml.ml.matrices import CsrMatrix
from stepml.ml.models import LossModel
from stepml.ml.models.base import Floats
from stepml.ml.sample_objective import (
    MOST_PARAMETERS,
    is_affordable,
    largest_curvature,
    minimum,
    operations,
)
from tests.support.learning import model_for

SCALES = [1.0, [1e-3, 1.0, 100.0, 1e4]]


def correlated(scales: Any) -> Floats:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(800, 2)) @ rng.normal(size=(2, 4)) + 0.3 * rng.normal(size=(800, 4))
    return (X * scales).astype(np.float32)


def built(model: models.Model, X: Floats, y: Floats) -> LossModel:
    found = model_for(model, X, y)
    assert isinstance(found, LossModel)
    return found


@pytest.mark.parametrize("scales", SCALES)
def test_the_minimum_of_a_regression_is_that_of_scikit_learn(scales: Any) -> None:
    X = correlated(scales)
    y = (X / scales @ [1, -2, 0.5, 3] + 10).astype(np.float32)
    model = built(models.LinearRegression(), X, y)
    w = minimum(model, (X, model.targets(y))).parameters
    reference = Ridge(alpha=1e-12).fit(X / scales, y)
    np.testing.assert_allclose(w[:-1] * scales, reference.coef_, rtol=0.01, atol=0.01)
    assert w[-1] == pytest.approx(reference.intercept_, rel=0.01)


@pytest.mark.parametrize("scales", SCALES)
def test_the_minimum_of_a_classifier_is_that_of_scikit_learn(scales: Any) -> None:
    X = correlated(scales)
    y = (X / scales @ [1, -1, 0, 2] + np.random.default_rng(1).logistic(size=800) > 1) + 0.0
    y = y.astype(np.float32)
    model = built(models.LogisticRegression(), X, y)
    w = minimum(model, (X, model.targets(y))).parameters
    reference = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000).fit(X / scales, y)
    best = np.append(reference.coef_[0] / scales, reference.intercept_).astype(np.float32)
    losses = [model.gradient(each, X, model.targets(y), out=np.empty_like(w)) for each in (w, best)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.parametrize("l1", [0.003, 0.03, 0.1])
def test_the_minimum_with_l1_is_that_of_scikit_learn(l1: float) -> None:
    X = correlated(1.0)
    y = (X @ [1, -1, 0, 2] + np.random.default_rng(1).logistic(size=800) > 1) + 0.0
    y = y.astype(np.float32)
    model = built(models.LogisticRegression(l1=l1), X, y)
    found = minimum(model, (X, model.targets(y)))
    ways = {"solver": "saga", "random_state": 0, "tol": 1e-8, "max_iter": 9999}
    saga = LogisticRegression(C=1 / (l1 * 800), l1_ratio=1, **ways)
    reference = saga.fit(X.astype(np.float64), y)
    best = np.append(reference.coef_[0], reference.intercept_)
    np.testing.assert_allclose(found.parameters, best, atol=2e-3)
    np.testing.assert_array_equal(found.parameters == 0, best == 0)
    assert found.fall is not None
    assert 0 <= found.fall < 1e-6


@pytest.mark.parametrize("scales", SCALES)
@pytest.mark.parametrize(
    "model",
    [
        models.SoftmaxRegression(l1=0.02),
        models.LinearRegression(l1=0.05),
        models.Svm(loss="squared_hinge", l1=0.02, l2=0.0),
    ],
)
def test_a_minimum_with_l1_has_no_way_down(model: models.Model, scales: Any) -> None:
    X = correlated(scales)
    y = np.floor(X[:, 0] / X[:, 0].std() + np.random.default_rng(1).normal(size=800))
    y = np.clip(y, -1, 1).astype(np.float32)
    if isinstance(model, models.LinearRegression):
        y = X[:, 1].copy()
    learner = built(model, X, y)
    targets = learner.targets(y)
    w = minimum(learner, (X, targets)).parameters
    gradient = np.empty_like(w)
    value = learner.gradient(w, X, targets, out=gradient) + learner.penalty.value(w)
    slope = learner.penalty.steepest(w, gradient + learner.penalty.slope(w))
    curvature = learner.curvature(X, targets)
    assert curvature is not None
    assert 0.5 * np.sum(slope**2 / curvature) < 1e-4 * value


def test_the_minimum_is_the_same_every_time() -> None:
    X = correlated(1.0)
    y = np.floor(np.arange(800) % 3).astype(np.float32)
    model = built(models.SoftmaxRegression(), X, y)
    first, again = (minimum(model, (X, model.targets(y))).parameters for _ in range(2))
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("X", [np.zeros((50, 4), np.float32), np.full((50, 4), 1e30, np.float32)])
def test_rows_without_a_scale_have_finite_parameters(X: Floats) -> None:
    y = (np.arange(50) % 2).astype(np.float32)
    model = built(models.LogisticRegression(), X, y)
    sample = X, model.targets(y)
    w = minimum(model, sample).parameters
    assert np.isfinite(w).all()
    assert np.isfinite(largest_curvature(model, w, sample))


@pytest.mark.parametrize("scales", SCALES)
def test_the_curvature_of_squares_is_the_largest_eigenvalue(scales: Any) -> None:
    X = correlated(scales)
    y = X[:, 0].copy()
    model = built(models.LinearRegression(), X, y)
    found = largest_curvature(model, model.initial_parameters(), (X, model.targets(y)))
    ones = np.column_stack([X, np.ones(len(X))]).astype(np.float64)
    assert found == pytest.approx(np.linalg.eigvalsh(ones.T @ ones / len(X))[-1], rel=0.05)


@pytest.mark.parametrize("model", [models.LogisticRegression(l2=1e-3), models.Svm()])
@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_curvature_follows_the_scale_of_features(model: models.Model, scale: float) -> None:
    X = correlated(1.0)
    y = (X[:, 0] > 0.2).astype(np.float32)
    built_model = built(model, X, y)
    w = minimum(built_model, (X, built_model.targets(y))).parameters
    expected = largest_curvature(built_model, w, (X, built_model.targets(y)))
    scaled = (X * scale).astype(np.float32)
    # The intercept is of size 1 whatever the scale is: without it, all would be the same.
    w[-1] = 0
    at_scale = w / np.array([*[scale] * 4, 1], np.float32)
    found = largest_curvature(built_model, at_scale, (scaled, built_model.targets(y)))
    assert 0.3 * expected * min(1.0, scale**2) < found < 3 * max(expected, 1) * max(1.0, scale**2)


def test_the_fall_at_the_minimum_is_known_and_small() -> None:
    X = correlated(SCALES[1])
    y = (X[:, 0] + np.random.default_rng(1).normal(size=800) > 0).astype(np.float32)
    model = built(models.LogisticRegression(l2=1e-3), X, y)
    fall = minimum(model, (X, model.targets(y))).fall
    assert fall is not None
    assert 0 <= fall < 1e-5


@pytest.mark.parametrize("l2", [1e-4, 1e-2])
def test_the_minimum_of_a_hinge_loss_is_that_of_a_quadratic_program(l2: float) -> None:
    X, labels = load_breast_cancer(return_X_y=True)
    X = ((X - X.mean(axis=0)) / X.std(axis=0)).astype(np.float32)
    y = labels.astype(np.float32)
    model = built(models.Svm(l2=l2), X, y)
    sample = X, model.targets(y)
    exact = SVC(kernel="linear", C=1 / (l2 * len(y)), tol=1e-4).fit(X.astype(np.float64), y)
    best = np.append(exact.coef_[0], exact.intercept_).astype(np.float32)
    found, least = (
        model.gradient(w, *sample, out=np.empty_like(w)) + model.penalty.value(w)
        for w in (minimum(model, sample).parameters, best)
    )
    assert found <= 1.01 * least


def test_the_fall_of_a_loss_with_kinks_is_unknown() -> None:
    X = correlated(1.0)
    y = (X[:, 0] > 0).astype(np.float32)
    model = built(models.Svm(l2=1e-3), X, y)
    assert minimum(model, (X, model.targets(y))).fall is None


def test_sparse_rows_are_more_work_than_dense_ones() -> None:
    y = np.arange(2, dtype=np.float32)
    model = built(models.LogisticRegression(), np.eye(2, dtype=np.float32), y)
    dense = np.ones((2, 1000), np.float32)
    indices = np.tile(np.arange(1000, dtype=np.int32), 2)
    sparse = CsrMatrix(np.array([0, 1000, 2000]), indices, dense.ravel(), 1000)
    assert operations(model, sparse) > 5 * operations(model, dense)


def test_large_models_and_samples_are_not_affordable() -> None:
    y = np.arange(2, dtype=np.float32)

    def affordable(n_features: int, values: int) -> bool:
        parts = np.zeros(1, np.int32), np.ones(1, np.float32)
        X = CsrMatrix(np.array([0, 1, values]), *parts, n_features)
        return is_affordable(built(models.LogisticRegression(), X, y), X)

    assert affordable(1000, 10**5)
    assert not affordable(MOST_PARAMETERS, 10**6)
    assert not affordable(1000, 10**9)

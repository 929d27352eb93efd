"""Least squares: one epoch of any ranks gives scikit-learn's solution."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.linear_model import ElasticNet, LinearRegression, Ridge

from stepml.job import algorithms, models
from stepml.job.spec import Exchange
from stepml.ml.algorithms import build_algorithm
from stepml.ml.algorithms.least_squares import LeastSquares
from stepml.ml.matrices import Matrix
from tests.support.learning import Orchestra, job_of
from tests.support.matrices import sparse_of


def solved(X: Matrix, y: Any, shards: Any = 1, l2: float = 0.0, l1: float = 0.0) -> Orchestra:
    job = job_of(models.LinearRegression(l1=l1, l2=l2), algorithms.LeastSquares())
    learner = Orchestra(job, X, np.asarray(y, np.float32), shards)
    learner.epoch()
    return learner


def coefficients(learner: Orchestra) -> Any:
    arrays = learner.model.arrays(learner.state.parameters)
    return np.append(arrays["coefficients"].ravel(), arrays["intercept"])


def reference(X: Any, y: Any, l2: float) -> Any:
    exact = LinearRegression(tol=1e-15) if l2 == 0 else Ridge(l2 * len(y), solver="svd")
    fitted = exact.fit(np.asarray(X, np.float64), np.asarray(y, np.float64))
    return np.append(fitted.coef_, fitted.intercept_)


def correlated(n_samples: int = 400) -> tuple[Any, Any]:
    """Return rows of correlated features of scales 1e-3 to 1e3."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_samples, 8)) @ rng.normal(size=(8, 8)) * 10.0 ** np.linspace(-3, 3, 8)
    X = X.astype(np.float32)
    return X, (X @ rng.normal(size=8) + rng.normal(size=n_samples) + 5).astype(np.float32)


@pytest.mark.parametrize("l2", [0, 1e-3, 1.0, 1e3])
@pytest.mark.parametrize("shards", [1, 4, (1, 390, 9)])
def test_an_epoch_gives_the_solution_of_scikit_learn(shards: Any, l2: float) -> None:
    X, y = correlated()
    learner = solved(X, y, shards, l2)
    assert coefficients(learner) == pytest.approx(reference(X, y, l2), rel=1e-5)
    assert learner.outcomes[-1].converged == "the normal equations are solved"


@pytest.mark.parametrize("l2", [0, 0.1])
@pytest.mark.parametrize("l1", [1e-3, 0.03, 0.3, 10.0])
@pytest.mark.parametrize("shards", [1, (1, 390, 9)])
def test_an_epoch_with_l1_gives_the_solution_of_scikit_learn(
    shards: Any, l1: float, l2: float
) -> None:
    X, y = correlated()
    X = (X / X.std(axis=0)).astype(np.float32)
    y /= y.std()
    learner = solved(X, y, shards, l2, l1)
    network = ElasticNet(l1 + l2, l1_ratio=l1 / (l1 + l2), tol=1e-9, max_iter=10**6)
    exact = network.fit(X.astype(np.float64), y.astype(np.float64))
    found = coefficients(learner)
    assert found == pytest.approx(np.append(exact.coef_, exact.intercept_), abs=1e-5)
    np.testing.assert_array_equal(found[:-1] == 0, exact.coef_ == 0)
    assert learner.outcomes[-1].converged == "the objective of all rows is at its minimum"


def test_sums_of_ranks_give_the_same_zeros_with_sparse_rows() -> None:
    X, y = correlated()
    X[np.random.default_rng(2).random(X.shape) < 0.8] = 0
    dense, sparse = (solved(each, y, 3, l1=1.0) for each in (X, sparse_of(X)))
    zeros = coefficients(dense)[:-1] == 0
    assert 0 < zeros.sum() < len(zeros)
    np.testing.assert_array_equal(coefficients(sparse)[:-1] == 0, zeros)


def test_diabetes() -> None:
    X, y = load_diabetes(return_X_y=True)
    X = X.astype(np.float32)
    learner = solved(X, y, 3)
    expected = LinearRegression().fit(X, y)
    measured = learner.model.evaluate(learner.state.parameters, X, y.astype(np.float32))
    assert measured.metrics["r2"] == pytest.approx(expected.score(X, y), abs=1e-6)
    assert learner.outcomes[-1].training_loss == pytest.approx(measured.loss, rel=1e-5)


@pytest.mark.parametrize("offset", [1e3, 1e6])
def test_offsets_lose_no_digits(offset: float) -> None:
    rng = np.random.default_rng(1)
    X = (rng.integers(0, 8, size=(2000, 3)) + offset).astype(np.float32)
    y = ((X - offset) @ [1.0, -2.0, 0.5] + rng.normal(size=2000)).astype(np.float32) + 1000
    found = coefficients(solved(X, y, 4))[:-1]
    assert found == pytest.approx(reference(X - offset, y, 0)[:-1], rel=1e-5)


def test_a_label_that_is_a_column_is_found() -> None:
    """Also beside a feature a million times as large."""
    i = np.arange(200)
    X = np.stack([1e6 + 1000 * i, i % 5], axis=1).astype(np.float32)
    assert coefficients(solved(X, i % 5, 4)) == pytest.approx([0, 1, 0], abs=1e-6)


def test_columns_that_say_the_same_share_their_weight() -> None:
    X, y = correlated()
    X = np.column_stack([X[:, 3], X[:, 3] * 2, np.full(len(X), 0.1), X[:, 4]]).astype(np.float32)
    found, expected = coefficients(solved(X, y, 3)), reference(X, y, 0)
    assert found[2] == 0
    assert found[0] == pytest.approx(2 * found[1], rel=1e-5)
    predicted = X @ found[:-1] + found[-1]
    assert predicted == pytest.approx(X @ expected[:-1] + expected[-1], rel=1e-4, abs=1e-2)


def test_fewer_rows_than_features_are_no_trouble() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(5, 20)).astype(np.float32), rng.normal(size=5)
    learner = solved(X, y, 2)
    assert learner.model.predict(learner.state.parameters, X) == pytest.approx(y, abs=1e-5)


@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_sparse_rows_have_the_same_solution(l2: float) -> None:
    X, y = correlated()
    X[np.random.default_rng(2).random(X.shape) < 0.8] = 0
    dense, sparse = solved(X, y, 3, l2), solved(sparse_of(X), y, 3, l2)
    assert coefficients(sparse) == pytest.approx(coefficients(dense), rel=1e-6)


def test_pausing_anywhere_changes_no_bit() -> None:
    X, y = correlated()
    job = job_of(models.LinearRegression(), algorithms.LeastSquares())
    whole, paused = (Orchestra(job, X, y, 3) for _ in range(2))
    for each in (whole, paused):
        assert isinstance(each.algorithm, LeastSquares)
        each.algorithm = replace(each.algorithm, block_values=100, block_operations=3000)
    expected, found = whole.epoch(), paused.epoch(lambda: True)
    assert expected.state.parameters.tobytes() == found.state.parameters.tobytes()


def test_another_epoch_changes_no_bit() -> None:
    X, y = correlated()
    learner = solved(X, y, 3)
    first = learner.state.parameters.tobytes()
    learner.epoch()
    assert learner.state.parameters.tobytes() == first


def test_memory_grows_with_the_square_of_the_width() -> None:
    algorithm = build_algorithm(job_of(models.LinearRegression(), algorithms.LeastSquares()))
    assert algorithm.most_parameters(64 * 100**2) == 99
    X, y = correlated()
    learner = solved(X, y)
    parameters = learner.state.parameters
    begun = learner.algorithm.begin(learner.model, learner.state, {}, learner.rank_epoch(0))
    assert begun.extras["sums"].nbytes == algorithm.contribution_bytes(len(parameters))
    assert Exchange().pattern in algorithms.LeastSquares.patterns

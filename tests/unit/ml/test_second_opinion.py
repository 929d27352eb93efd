"""A better model on a sample: found if there is one, and not otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import ElasticNet, LinearRegression
from sklearn.linear_model import LogisticRegression as Reference

from stepml.job import models
from stepml.ml.matrices import CsrMatrix
from stepml.ml.models import LossModel
from stepml.ml.models.base import Floats, Matrix
from stepml.ml.sample_objective import Rows
from stepml.ml.second_opinion import Better, better_model
from tests.support.learning import model_for, rows


def opinion(model: LossModel, w: Floats, X: Matrix, y: Floats, **limits: Any) -> Better | None:
    """Return a better model than ``w``; the first 100 rows are for validation."""

    def part(rows: slice) -> Rows:
        return X[rows], model.targets(y[rows])

    return better_model(model, w, part(slice(100, None)), part(slice(100)), **limits)


def regression(scales: Any = 1.0, noise: float = 0.5) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 4))
    y = X @ [3, -2, 0.5, 1] + 10 + noise * rng.normal(size=500)
    return (X * scales).astype(np.float32), y.astype(np.float32)


def fitted(X: Floats, y: Floats, scales: Any = 1.0) -> Floats:
    best = LinearRegression().fit((X / scales)[100:], y[100:])
    return np.append(best.coef_ / scales, best.intercept_).astype(np.float32)


@pytest.mark.parametrize("scales", [1.0, [1e-3, 1, 100, 1e4]])
def test_an_untrained_regression_has_a_better_model(scales: Any) -> None:
    X, y = regression(scales)
    model = model_for(models.LinearRegression(), X, y)
    assert isinstance(model, LossModel)
    found = opinion(model, model.initial_parameters(), X, y)
    assert found is not None
    best = model.evaluate(fitted(X, y, scales), X[:100], y[:100]).loss
    assert found.loss == pytest.approx(best, rel=0.05)
    assert found.rows == 400


@pytest.mark.parametrize("scales", [1.0, [1e-3, 1, 100, 1e4]])
def test_a_fitted_regression_has_none(scales: Any) -> None:
    X, y = regression(scales)
    model = model_for(models.LinearRegression(), X, y)
    assert isinstance(model, LossModel)
    w = fitted(X, y, scales)
    assert opinion(model, w, X, y) is None
    w[-1] += 0.001  # a little beside the minimum
    assert opinion(model, w, X, y) is None
    w[-1] += 1
    assert opinion(model, w, X, y) is not None


@pytest.mark.parametrize(
    "spec",
    [
        models.LogisticRegression(),
        models.SoftmaxRegression(l2=0.01),
        models.Svm(),
        models.Svm(loss="squared_hinge"),
        models.LogisticRegression(class_weight="balanced"),
    ],
)
def test_an_untrained_classifier_has_a_better_model(spec: models.Model) -> None:
    X, y = rows(500)
    model = model_for(spec, X, y)
    assert isinstance(model, LossModel)
    found = opinion(model, model.initial_parameters(), X, y)
    assert found is not None
    assert found.loss < 0.9 * model.evaluate(model.initial_parameters(), X, model.targets(y)).loss


def test_a_fitted_classifier_has_none_and_noise_has_none() -> None:
    X, y = rows(500)
    model = model_for(models.LogisticRegression(), X, y)
    assert isinstance(model, LossModel)
    best = Reference(C=np.inf).fit(X[100:], y[100:])
    w = np.append(best.coef_, best.intercept_).astype(np.float32)
    assert opinion(model, w, X, y) is None
    labels = np.random.default_rng(3).integers(0, 2, 500).astype(np.float32)
    assert opinion(model, model.initial_parameters(), X, labels) is None


def test_a_lasso_keeps_its_zeros() -> None:
    X, y = regression()
    model = model_for(models.LinearRegression(l1=1.0), X, y)
    assert isinstance(model, LossModel)
    best = ElasticNet(alpha=1.0, l1_ratio=1.0).fit(X[100:], y[100:])
    w = np.append(best.coef_, best.intercept_).astype(np.float32)
    assert not w.all()
    assert opinion(model, w, X, y) is None


def test_sparse_rows_have_an_opinion() -> None:
    X, y = regression()
    indptr = np.arange(0, 4 * len(X) + 1, 4)
    indices = np.tile(np.arange(4, dtype=np.int32), len(X))
    sparse = CsrMatrix(indptr, indices, X.ravel(), 4)
    model = model_for(models.LinearRegression(), X, y)
    assert isinstance(model, LossModel)
    assert opinion(model, model.initial_parameters(), sparse, y) is not None
    assert opinion(model, fitted(X, y), sparse, y) is None


def test_a_large_sample_gets_no_opinion() -> None:
    X, y = regression()
    model = model_for(models.LinearRegression(), X, y)
    assert isinstance(model, LossModel)
    w = model.initial_parameters()
    one = 2 * 400 * 4
    assert opinion(model, w, X, y, most_operations=9 * one) is None
    assert opinion(model, w, X, y, most_operations=10 * one) is not None
    assert opinion(model, w, X, y, least_fall=1e9) is None
    assert opinion(model, w, X, y, most_parameters=4) is None
    assert opinion(model, w, X, y, most_parameters=5) is not None


def test_a_few_rows_are_not_sure() -> None:
    X, y = regression(noise=20)
    model = model_for(models.LinearRegression(), X, y)
    assert isinstance(model, LossModel)
    few = X[:3], y[:3]
    w = fitted(X, y)
    w[0] += 1
    assert better_model(model, w, (X[100:], y[100:]), few) is None

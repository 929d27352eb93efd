"""The distance from the minimum, from sums over ranks."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from stepml.job import models
from stepml.ml.algorithms.optimality import (
    BUCKETS,
    fall_along,
    fall_in_sight,
    n_sums,
    objective_of,
    rank_sums,
)
from stepml.ml.matrices import CsrMatrix
from stepml.ml.models import LossModel
from stepml.ml.models.base import Floats, Matrix
from tests.support.learning import model_for


def orthogonal(n_features: int, seed: int = 0) -> Floats:
    """Return rows whose features are orthogonal, of different scales, and have the mean 0."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(4 * n_features, n_features))
    basis, _ = np.linalg.qr(rows - rows.mean(axis=0))
    scales = 10.0 ** rng.uniform(-2, 2, n_features)
    X: Floats = (basis * np.sqrt(len(rows)) * scales).astype(np.float32)
    return X


def sums_at(model: LossModel, w: Floats, X: Matrix, y: Floats, ranks: int = 3) -> Floats:
    total = np.zeros(n_sums(model))
    for rank in range(ranks):
        part = slice(rank * len(y) // ranks, (rank + 1) * len(y) // ranks)
        targets = model.targets(y[part])
        gradient = np.empty_like(w)
        loss = model.gradient(w, X[part], targets, out=gradient)
        share = len(targets) / len(y)
        total += share * rank_sums(model, w, X[part], targets, loss, gradient.astype(float))
    return total


def regression(n_features: int, **penalty: float) -> tuple[LossModel, Floats, Floats]:
    X = orthogonal(n_features)
    rng = np.random.default_rng(1)
    y = (X / X.std(axis=0) @ rng.normal(size=n_features) + 5).astype(np.float32)
    model = model_for(models.LinearRegression(**penalty), X, y)
    assert isinstance(model, LossModel)
    return model, X, y


@pytest.mark.parametrize("n_features", [3, 40, BUCKETS - 1])
def test_the_fall_is_exact_if_features_are_orthogonal(n_features: int) -> None:
    model, X, y = regression(n_features)
    w = model.initial_parameters()
    sums = sums_at(model, w, X, y)
    assert objective_of(model, w, sums) == pytest.approx(np.mean(y**2) / 2, rel=1e-4)
    # The labels are a linear function of the features: the minimum is 0.
    assert fall_in_sight(model, w, sums) == pytest.approx(np.mean(y**2) / 2, rel=1e-3)


@pytest.mark.parametrize("n_features", [BUCKETS, 3000])
def test_the_fall_of_a_large_model_is_estimated(n_features: int) -> None:
    rng = np.random.default_rng(0)
    X = rng.choice([-1.0, 1.0], (200, n_features)).astype(np.float32)
    y = rng.normal(size=200).astype(np.float32)
    model = model_for(models.LinearRegression(), X, y)
    assert isinstance(model, LossModel)
    w = model.initial_parameters()
    sums = sums_at(model, w, X, y)
    assert len(sums) == 1 + 2 * BUCKETS
    gradient = np.empty_like(w)
    model.gradient(w, X, y, out=gradient)
    assert fall_in_sight(model, w, sums) == pytest.approx(np.sum(gradient**2.0) / 2, rel=0.3)


def test_a_kink_resists_small_slopes() -> None:
    model, X, y = regression(5, l1=1e6)
    w = model.initial_parameters()
    # Only the intercept may move: to the labels' mean.
    fall = fall_in_sight(model, w, sums_at(model, w, X, y))
    assert fall == pytest.approx(np.mean(y) ** 2 / 2, rel=1e-3)


def test_a_penalty_moves_the_minimum() -> None:
    model, X, y = regression(5, l2=3.0)
    w = model.initial_parameters()
    squares = np.mean(X.astype(float) ** 2, axis=0)
    w[:-1] = np.mean(X * y[:, None], axis=0) / (squares + 3)
    w[-1] = y.mean()
    sums = sums_at(model, w, X, y)
    assert fall_in_sight(model, w, sums) < 1e-6 * objective_of(model, w, sums)


@pytest.mark.parametrize("n_features", [4, 40, BUCKETS + 88])
def test_correlated_features_do_not_hide_a_fall_along_the_way(n_features: int) -> None:
    """A large rho makes the way short, and one feature after the other sees hardly any fall."""
    rng = np.random.default_rng(2)
    common = rng.normal(size=(4 * n_features, 1))
    X = (common + 0.02 * rng.normal(size=(4 * n_features, n_features))).astype(np.float32)
    y = (X @ rng.normal(size=n_features)).astype(np.float32)
    model = model_for(models.LinearRegression(), X, y)
    assert isinstance(model, LossModel)
    ones = np.column_stack([X, np.ones(len(X))]).astype(float)
    hessian = ones.T @ ones / len(X)
    w, *_ = np.linalg.lstsq(ones[:, [0, -1]], y.astype(float), rcond=None)  # of the common part
    start = np.zeros(n_features + 1, np.float32)
    start[[0, -1]] = w
    gradient = hessian @ start - ones.T @ y / len(X)
    rho = 0.01
    way = -np.linalg.solve(hessian + rho * np.eye(len(start)), gradient)
    sums = sums_at(model, start, X, y)
    true = objective_of(model, start, sums)  # the labels have no noise: it can fall to 0
    along = fall_along(way, rho, model, start, sums)
    assert fall_in_sight(model, start, sums) < 0.05 * true < along <= 1.5 * true


def test_a_way_says_nothing_about_a_loss_with_kinks() -> None:
    X, y = orthogonal(3), np.arange(12, dtype=np.float32) % 2
    model = model_for(models.Svm(), X, y)
    assert isinstance(model, LossModel)
    w = model.initial_parameters()
    assert fall_along(np.ones(len(w)), 0.1, model, w, np.ones(1)) == 0


@pytest.mark.parametrize(
    "spec",
    [
        models.LogisticRegression(),
        models.SoftmaxRegression(),
        models.LinearRegression(),
        models.Svm(loss="squared_hinge"),
    ],
)
@pytest.mark.parametrize("weighted", [False, True])
def test_the_curvature_bounds_the_hessian(spec: models.Model, weighted: bool) -> None:
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(60, 3)) * [1, 20, 0.1]).astype(np.float32)
    y = rng.integers(0, 2, 60).astype(np.float32)
    if weighted and not isinstance(spec, models.LinearRegression):
        spec = msgspec.structs.replace(spec, class_weight={"0": 3.0, "1": 3.0})
    model = model_for(spec, X, y)
    assert isinstance(model, LossModel)
    targets = model.targets(y)
    bound = model.curvature(X, targets)
    assert bound is not None
    w = (0.02 * rng.normal(size=model.n_parameters)).astype(np.float32)
    for number in range(model.n_parameters):
        step = np.zeros_like(w)
        step[number] = 0.01 / np.sqrt(bound[number])
        up, down = np.empty_like(w), np.empty_like(w)
        model.gradient(w + step, X, targets, out=up)
        model.gradient(w - step, X, targets, out=down)
        second = (up[number] - down[number]) / (2 * step[number])
        assert 0.1 * bound[number] < second < 1.01 * bound[number]


def test_sparse_rows_have_the_same_curvature() -> None:
    rng = np.random.default_rng(0)
    dense = (rng.normal(size=(50, 6)) * (rng.random((50, 6)) < 0.3)).astype(np.float32)
    at = np.nonzero(dense)
    indptr = np.concatenate([[0], np.cumsum((dense != 0).sum(axis=1))])
    sparse = CsrMatrix(indptr, at[1].astype(np.int32), dense[at], 6, block_pairs=7)
    y = rng.normal(size=50).astype(np.float32)
    model = model_for(models.LinearRegression(), dense, y)
    assert isinstance(model, LossModel)
    assert model.curvature(sparse, y) == pytest.approx(model.curvature(dense, y))


def test_a_hinge_loss_has_no_curvature() -> None:
    X, y = orthogonal(3), np.tile([0.0, 1.0], 6).astype(np.float32)
    model = model_for(models.Svm(), X, y)
    assert isinstance(model, LossModel)
    assert model.curvature(X, model.targets(y)) is None
    assert n_sums(model) == 1

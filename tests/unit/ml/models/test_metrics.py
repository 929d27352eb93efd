"""Metrics, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from stepml.ml.models.metrics import (
    accuracy,
    auc,
    binary_metrics,
    r2,
    regression_metrics,
    rmse,
)

SIZES = [2, 3, 10, 1000]


def scored(n_rows: int, levels: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return scores with a number of different values, and labels of both classes."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(levels, size=n_rows).astype(np.float32) / 7
    positive = rng.random(n_rows) < 0.4
    positive[:2] = True, False
    return scores, positive


@pytest.mark.parametrize("levels", [1, 2, 5, 10**6])
@pytest.mark.parametrize("n_rows", SIZES)
def test_auc_is_that_of_scikit_learn_also_with_ties(n_rows: int, levels: int) -> None:
    scores, positive = scored(n_rows, levels)
    assert auc(scores, positive) == pytest.approx(reference.roc_auc_score(positive, scores))


def test_auc_is_the_share_of_pairs_in_the_right_order() -> None:
    scores, positive = scored(60, 8, seed=1)
    pairs = scores[positive][:, None] - scores[~positive]
    assert auc(scores, positive) == pytest.approx(np.mean((np.sign(pairs) + 1) / 2))


@pytest.mark.parametrize("positive", [True, False])
def test_one_class_alone_has_no_auc(positive: bool) -> None:
    found = binary_metrics(np.array([1.0, -1.0, 2.0]), np.full(3, positive))
    assert found == {"accuracy": pytest.approx(2 / 3 if positive else 1 / 3)}


@pytest.mark.parametrize("n_rows", SIZES)
def test_binary_metrics_are_those_of_scikit_learn(n_rows: int) -> None:
    scores, positive = scored(n_rows, 20)
    scores -= 1
    assert binary_metrics(scores, positive) == {
        "accuracy": pytest.approx(reference.accuracy_score(positive, scores > 0)),
        "auc": pytest.approx(reference.roc_auc_score(positive, scores)),
    }
    assert accuracy(scores > 0, positive) == reference.accuracy_score(positive, scores > 0)


@pytest.mark.parametrize("offset", [0, 10_000])
@pytest.mark.parametrize("n_rows", SIZES)
def test_regression_metrics_are_those_of_scikit_learn(n_rows: int, offset: float) -> None:
    rng = np.random.default_rng(2)
    labels = (rng.normal(size=n_rows) + offset).astype(np.float32)
    predicted = (labels + rng.normal(size=n_rows) / 3).astype(np.float32)
    wide = labels.astype(np.float64), predicted.astype(np.float64)
    assert rmse(predicted, labels) == pytest.approx(reference.root_mean_squared_error(*wide))
    assert r2(predicted, labels) == pytest.approx(reference.r2_score(*wide))
    assert set(regression_metrics(predicted, labels)) == {"rmse", "r2"}


def test_labels_that_are_all_the_same_have_no_r2() -> None:
    labels = np.full(5, 0.1, np.float32)
    assert regression_metrics(labels + 1, labels) == {"rmse": pytest.approx(1)}

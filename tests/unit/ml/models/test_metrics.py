"""Metrics, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from stepml.ml.models.confusion import PerClass, count_classes
from stepml.ml.models.metrics import (
    Ranking,
    accuracy,
    binary_metrics,
    mae,
    multiclass_metrics,
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
def test_rankings_are_measured_as_by_scikit_learn_also_with_ties(n_rows: int, levels: int) -> None:
    scores, positive = scored(n_rows, levels)
    found = Ranking.of(scores, positive)
    assert found.auc == pytest.approx(reference.roc_auc_score(positive, scores))
    expected = reference.average_precision_score(positive, scores)
    assert found.average_precision == pytest.approx(expected)


def test_auc_is_the_share_of_pairs_in_the_right_order() -> None:
    scores, positive = scored(60, 8, seed=1)
    pairs = scores[positive][:, None] - scores[~positive]
    found = Ranking.of(scores, positive).auc
    assert found == pytest.approx(np.mean((np.sign(pairs) + 1) / 2))


@pytest.mark.parametrize("positive", [True, False])
def test_one_class_alone_has_no_ranking(positive: bool) -> None:
    found = binary_metrics(np.array([1.0, -1.0, 2.0]), np.full(3, positive))
    assert found == {
        "accuracy": pytest.approx(2 / 3 if positive else 1 / 3),
        "precision": float(positive),
        "recall": pytest.approx(2 / 3 if positive else 0),
        "f1": pytest.approx(0.8 if positive else 0),
    }


@pytest.mark.parametrize("n_rows", SIZES)
def test_binary_metrics_are_those_of_scikit_learn(n_rows: int) -> None:
    scores, positive = scored(n_rows, 20)
    scores -= 1
    assert binary_metrics(scores, positive) == {
        "accuracy": pytest.approx(reference.accuracy_score(positive, scores > 0)),
        "auc": pytest.approx(reference.roc_auc_score(positive, scores)),
        "average_precision": pytest.approx(reference.average_precision_score(positive, scores)),
        "precision": pytest.approx(
            reference.precision_score(positive, scores > 0, zero_division=0)
        ),
        "recall": pytest.approx(reference.recall_score(positive, scores > 0)),
        "f1": pytest.approx(reference.f1_score(positive, scores > 0)),
    }
    assert accuracy(scores > 0, positive) == reference.accuracy_score(positive, scores > 0)


def classified(n_rows: int, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return classes and predictions; the last class never occurs, the one before is no label."""
    rng = np.random.default_rng(n_rows)
    own = rng.integers(n_classes - 2, size=n_rows)
    guessed = rng.integers(n_classes - 1, size=n_rows)
    return own, np.where(rng.random(n_rows) < 0.6, own, guessed)


@pytest.mark.parametrize("n_rows", SIZES)
@pytest.mark.parametrize("n_classes", [3, 12, 300])
def test_metrics_of_classes_are_those_of_scikit_learn(n_rows: int, n_classes: int) -> None:
    own, predicted = classified(n_rows, n_classes)
    precision, recall, f1, support = reference.precision_recall_fscore_support(
        own, predicted, labels=range(n_classes), zero_division=0
    )
    counts = count_classes(own, predicted, n_classes)
    assert (
        counts.tolist()
        == reference.confusion_matrix(own, predicted, labels=range(n_classes)).tolist()
    )
    found = PerClass.of(counts)
    assert found.precision == pytest.approx(precision)
    assert found.recall == pytest.approx(recall)
    assert found.f1 == pytest.approx(f1)
    assert found.support.tolist() == support.tolist()
    report = reference.classification_report(own, predicted, output_dict=True, zero_division=0)
    assert multiclass_metrics(own, predicted, n_classes) == {
        "accuracy": pytest.approx(np.mean(own == predicted)),
        "precision": pytest.approx(report["macro avg"]["precision"]),
        "recall": pytest.approx(report["macro avg"]["recall"]),
        "f1": pytest.approx(report["macro avg"]["f1-score"]),
    }


def test_the_table_of_classes_has_their_labels() -> None:
    table = PerClass.of(np.array([[3, 1], [0, 4]])).table([2.5, 7.0])
    assert [(row.label, row.support) for row in table] == [(2.5, 4), (7.0, 4)]
    assert (table[0].precision, table[0].recall) == (1, 0.75)
    assert table[1].f1 == pytest.approx(8 / 9)


@pytest.mark.parametrize("offset", [0, 10_000])
@pytest.mark.parametrize("n_rows", SIZES)
def test_regression_metrics_are_those_of_scikit_learn(n_rows: int, offset: float) -> None:
    rng = np.random.default_rng(2)
    labels = (rng.normal(size=n_rows) + offset).astype(np.float32)
    predicted = (labels + rng.normal(size=n_rows) / 3).astype(np.float32)
    wide = labels.astype(np.float64), predicted.astype(np.float64)
    assert rmse(predicted, labels) == pytest.approx(reference.root_mean_squared_error(*wide))
    assert r2(predicted, labels) == pytest.approx(reference.r2_score(*wide))
    assert mae(predicted, labels) == pytest.approx(reference.mean_absolute_error(*wide))
    assert set(regression_metrics(predicted, labels)) == {"rmse", "mae", "r2"}


def test_labels_that_are_all_the_same_have_no_r2() -> None:
    labels = np.full(5, 0.1, np.float32)
    assert regression_metrics(labels + 1, labels) == dict.fromkeys(
        ("rmse", "mae"), pytest.approx(1)
    )

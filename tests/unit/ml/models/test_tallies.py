"""Sums over rows, and the quality that follows from them."""

from __future__ import annotations

import numpy as np
import pytest

from stepml.ml.models.confusion import MOST_CLASSES_COUNTED, count_classes
from stepml.ml.models.metrics import multiclass_metrics, regression_metrics
from stepml.ml.models.tallies import (
    counts_of,
    quality_of_classes,
    quality_of_numbers,
    tally_classes,
    tally_numbers,
)


def test_equal_labels_have_no_r2_whatever_their_sums_round_to() -> None:
    rng = np.random.default_rng(0)
    for _ in range(500):
        label = np.float32(rng.normal() * 10.0 ** rng.integers(-3, 4))
        sums = sum(
            tally_numbers(1.0, np.full(n, label + 1, np.float32), np.full(n, label, np.float32))
            for n in rng.integers(5, 300, size=2)
        )
        assert set(quality_of_numbers(np.asarray(sums)).metrics) == {"rmse", "mae"}


def test_r2_of_labels_far_from_0_has_all_its_digits() -> None:
    rng = np.random.default_rng(0)
    labels = (1e7 + 3 * rng.normal(size=1000)).astype(np.float32)
    predicted = (labels + rng.normal(size=1000)).astype(np.float32)
    parts = (slice(0, 400), slice(400, 1000))
    sums = sum(tally_numbers(1.0, predicted[each], labels[each], 1e7) for each in parts)
    found = quality_of_numbers(np.asarray(sums)).metrics
    assert found == pytest.approx(regression_metrics(predicted, labels), rel=1e-9)


@pytest.mark.parametrize("n_classes", [MOST_CLASSES_COUNTED, MOST_CLASSES_COUNTED + 1])
def test_many_classes_are_not_counted_in_pairs(n_classes: int) -> None:
    rng = np.random.default_rng(0)
    outputs = rng.normal(size=(1000, n_classes)).astype(np.float32)
    own = rng.integers(n_classes, size=1000)
    sums = tally_classes(0.5, outputs, own, n_classes)
    predicted = outputs.argmax(axis=1)
    found = quality_of_classes(sums, n_classes)
    in_top = [label in row for label, row in zip(own, np.argsort(-outputs)[:, :5], strict=True)]
    expected = multiclass_metrics(own, predicted, n_classes) | {"top5_accuracy": np.mean(in_top)}
    assert (found.loss, found.metrics) == (0.5, pytest.approx(expected))
    counts = counts_of(sums, n_classes)
    if n_classes > MOST_CLASSES_COUNTED:
        assert counts is None
        assert len(sums) == 3 + 3 * n_classes
    else:
        assert np.array_equal(counts, count_classes(own, predicted, n_classes))

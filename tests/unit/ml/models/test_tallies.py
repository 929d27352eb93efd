"""Sums over rows, and the quality that follows from them."""

from __future__ import annotations

import numpy as np
import pytest

from stepml.ml.models.metrics import regression_metrics
from stepml.ml.models.tallies import quality_of_numbers, tally_numbers


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

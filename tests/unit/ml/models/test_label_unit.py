"""A regression that trains on scaled labels has the minimum, losses and predictions of the data."""

from __future__ import annotations

import numpy as np
import pytest

from stepml.job import models as specs
from stepml.ml.models import LabelUnit, LinearRegression, build_model
from stepml.ml.models.base import Floats

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 5)).astype(np.float32)
LABELS = (4e5 + 1e5 * (X @ RNG.normal(size=5) + RNG.normal(size=200))).astype(np.float32)
PENALTY = specs.LinearRegression(l1=2e3, l2=0.1)
UNIT = LabelUnit.of(LABELS)


def both() -> tuple[LinearRegression, LinearRegression]:
    """Return the model in the unit of the data, and in that of `UNIT`."""
    plain, scaled = (build_model(PENALTY, 5, None, None, unit) for unit in (LabelUnit(), UNIT))
    assert isinstance(plain, LinearRegression)
    assert isinstance(scaled, LinearRegression)
    return plain, scaled


def objective(model: LinearRegression, w: Floats) -> float:
    loss = model.gradient(w, X, model.targets(LABELS), out=np.empty_like(w))
    return (loss + model.penalty.value(w)) * model.loss_unit


def test_scaled_labels_have_about_mean_0_and_variance_1() -> None:
    targets = both()[1].targets(LABELS)
    assert abs(targets.mean()) < 1e-5
    assert 0.5 < targets.std() < 2
    assert UNIT.size == 2.0**18


@pytest.mark.parametrize("seed", range(3))
def test_the_objective_is_that_of_the_data(seed: int) -> None:
    plain, scaled = both()
    w = np.random.default_rng(seed).normal(size=6).astype(np.float32)
    as_in_data = plain.parameters(scaled.arrays(w))
    assert objective(scaled, w) == pytest.approx(objective(plain, as_in_data), rel=1e-4)
    np.testing.assert_allclose(scaled.parameters(plain.arrays(as_in_data)), w, atol=1e-5)


def test_losses_metrics_and_predictions_are_those_of_the_data() -> None:
    plain, scaled = both()
    w = np.array([0.3, -0.2, 0.1, 0.5, -1, 0.05], np.float32)
    as_in_data = plain.parameters(scaled.arrays(w))
    found = scaled.evaluate(w, X, scaled.targets(LABELS))
    expected = plain.evaluate(as_in_data, X, LABELS)
    assert found.loss == pytest.approx(expected.loss, rel=1e-4)
    assert found.metrics == pytest.approx(expected.metrics, rel=1e-4)
    np.testing.assert_allclose(scaled.predict(w, X), plain.predict(as_in_data, X), rtol=1e-5)


@pytest.mark.parametrize(
    ("labels", "origin", "size"),
    [([3, 3, 3], 3, 1), ([0, 1], 0.5, 0.5), ([-1e30, 1e30], 0, 2.0**100), ([7], 7, 1)],
)
def test_any_labels_have_a_unit(labels: list[float], origin: float, size: float) -> None:
    assert LabelUnit.of(np.array(labels, np.float32)) == LabelUnit(origin, size)

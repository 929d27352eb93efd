"""Orthant-wise L-BFGS against SciPy's bounds, and in the limits of its weights."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize, rosen, rosen_der

from stepml.ml import orthants
from stepml.ml.lbfgs import Iterate, Objective, Vector


def found(objective: Objective, x: Vector, weights: Vector) -> Iterate:
    now = orthants.start(objective, x, weights)
    for _ in range(500):
        now = orthants.advance(objective, now, weights)
    assert now.at_end
    return now


def logistic(x: Vector) -> tuple[float, Vector]:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 5)) @ rng.normal(size=(5, 12)) + rng.normal(size=(200, 12))
    signs = np.where(rows[:, 0] - rows[:, 3] + rng.logistic(size=200) > 0, 1.0, -1.0)
    margins = signs * (rows @ x)
    slopes = -signs / (1 + np.exp(margins)) / 200
    return float(np.logaddexp(0, -margins).mean()), rows.T @ slopes


@pytest.mark.parametrize("weight", [0.001, 0.01, 0.05])
def test_the_minimum_is_that_of_two_nonnegative_parts(weight: float) -> None:
    weights = np.full(12, weight)
    weights[0] = 0.0  # as an intercept

    def split(parts: Vector) -> tuple[float, Vector]:
        value, gradient = logistic(parts[:12] - parts[12:])
        penalty = np.append(weights, weights)
        return value + float(penalty @ parts), np.append(gradient, -gradient) + penalty

    ends = {"ftol": 1e-15, "gtol": 1e-10, "maxiter": 10_000}
    best = minimize(split, np.zeros(24), jac=True, bounds=[(0, None)] * 24, options=ends)
    now = found(logistic, np.zeros(12), weights)
    expected = best.x[:12] - best.x[12:]
    assert now.value == pytest.approx(best.fun, rel=1e-8)
    np.testing.assert_allclose(now.x, expected, atol=1e-3)
    assert 0 <= orthants.fall_in_sight(now, weights) < 1e-8
    slope = orthants.steepest(now.x, now.gradient, weights)
    np.testing.assert_array_equal(slope[now.x == 0], 0.0)


def test_weights_above_every_gradient_leave_all_at_0() -> None:
    now = found(logistic, np.zeros(12), np.ones(12))
    np.testing.assert_array_equal(now.x, 0.0)


def test_without_weights_it_is_the_minimum_of_the_smooth_part() -> None:
    x = np.array([-1.2, 1.0, -0.5])
    now = found(lambda x: (rosen(x), rosen_der(x)), x, np.zeros(3))
    np.testing.assert_allclose(now.x, 1.0, atol=1e-4)


def test_infinite_values_end_it_at_finite_parameters() -> None:
    def steep(x: Vector) -> tuple[float, Vector]:
        with np.errstate(over="ignore"):
            return float(np.exp(np.exp(x)).sum()), np.exp(np.exp(x) + x)

    now = found(steep, np.full(2, 4.0), np.full(2, 1e-3))
    assert np.isfinite(now.x).all()
    assert np.isfinite(now.value)

"""L-BFGS against SciPy's, and interrupted at any point."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize, rosen, rosen_der

from stepml.ml import lbfgs


def rosenbrock(x: lbfgs.Vector) -> tuple[float, lbfgs.Vector]:
    return float(rosen(x)), rosen_der(x)


def logistic(x: lbfgs.Vector) -> tuple[float, lbfgs.Vector]:
    rng = np.random.default_rng(0)
    A = rng.normal(size=(200, len(x))) * np.logspace(0, 2, len(x))  # badly scaled
    y = np.where(rng.random(200) < 0.5, 1.0, -1.0)
    z = y * (A @ x)
    gradient = -(A.T @ (y / (1 + np.exp(np.minimum(z, 700))))) / 200 + 0.1 * x
    return float(np.logaddexp(0, -z).mean() + 0.05 * x @ x), gradient


def quadratic(x: lbfgs.Vector) -> tuple[float, lbfgs.Vector]:
    scale = np.logspace(0, 4, len(x))
    return float(0.5 * scale @ (x - 1) ** 2), scale * (x - 1)


def minimised(
    objective: lbfgs.Objective,
    x: lbfgs.Vector,
    max_iterations: int = 100,
    tolerance: float = 1e-9,
) -> lbfgs.Iterate:
    """Return the iterate at the minimum near ``x``, or after ``max_iterations``."""
    now = lbfgs.start(objective, x)
    for _ in range(max_iterations):
        now = lbfgs.advance(objective, now, tolerance=tolerance)
        if now.at_end:
            break
    return now


@pytest.mark.parametrize("objective", [rosenbrock, logistic, quadratic])
@pytest.mark.parametrize("n", [2, 10, 40])
def test_the_minimum_is_scipys(objective: lbfgs.Objective, n: int) -> None:
    start = np.full(n, -1.2)
    reference = minimize(
        objective, start, jac=True, method="L-BFGS-B", options={"ftol": 1e-15, "gtol": 1e-10}
    )
    found = minimised(objective, start, max_iterations=2000)
    assert found.value <= reference.fun + 1e-8 * max(1, abs(reference.fun))


def test_the_value_never_rises() -> None:
    now = lbfgs.start(rosenbrock, np.full(10, -1.2))
    for _ in range(50):
        after = lbfgs.advance(rosenbrock, now)
        assert after.value <= now.value
        now = after


def test_an_iterate_that_was_stored_goes_on_to_the_same_bits() -> None:
    now = again = lbfgs.start(rosenbrock, np.full(10, -1.2))
    for _ in range(30):
        now = lbfgs.advance(rosenbrock, now)
        again = lbfgs.Iterate.unpack(lbfgs.advance(rosenbrock, again).pack())
    assert now.x.tobytes() == again.x.tobytes()


@pytest.mark.parametrize("size", [1e-12, 1e15])
def test_values_of_any_size_fall_as_far(size: float) -> None:
    """Also if float32 rounds the value, so that it hides small steps."""

    def rounded(x: lbfgs.Vector) -> tuple[float, lbfgs.Vector]:
        value, gradient = quadratic(x)
        return float(np.float32(size * value)), size * gradient

    found = minimised(rounded, np.full(10, 1e4), max_iterations=200, tolerance=0.0)
    assert found.value < 1e-9 * rounded(np.full(10, 1e4))[0]


def test_at_the_minimum_it_ends() -> None:
    now = minimised(quadratic, np.full(5, 1.0))
    assert now.at_end
    assert (now.x == 1).all()


def test_an_objective_that_falls_for_ever_ends_with_the_evaluations() -> None:
    now = minimised(lambda x: (float(-x.sum()), -np.ones(3)), np.zeros(3), max_iterations=5)
    assert np.isfinite(now.x).all()

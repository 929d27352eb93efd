"""The minimum of a quadratic function with a penalty l1 meets the conditions of a minimum."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stepml.ml import orthants
from stepml.ml.lasso import lasso
from stepml.ml.matrices import Floats64

RNG = np.random.default_rng(0)
FEW = RNG.normal(size=(300, 4))


def features(kind: str) -> Floats64:
    wide = RNG.normal(size=(40, 120))
    found: Floats64 = {
        "independent": RNG.normal(size=(300, 30)),
        "nearly dependent": FEW @ RNG.normal(size=(4, 40)) + 0.003 * RNG.normal(size=(300, 40)),
        "copies": np.hstack([FEW, FEW, -FEW]),
        "fewer rows than features": wide,
        "a constant": np.column_stack([FEW, np.zeros(300)]),
    }[kind]
    return found


@pytest.mark.parametrize("share", [1e-4, 0.01, 0.3, 1.5])
@pytest.mark.parametrize(
    "kind",
    ["independent", "nearly dependent", "copies", "fewer rows than features", "a constant"],
)
def test_the_shortest_subgradient_is_0(kind: str, share: float) -> None:
    X = features(kind)
    y = X[:, 0] - 2 * X[:, 1] + RNG.normal(size=len(X))
    matrix, right = X.T @ X / len(X), X.T @ y / len(X)
    weights = np.full(len(right), share * np.abs(right).max())
    x, is_minimum = lasso(matrix, right, weights)
    assert is_minimum
    rest = orthants.steepest(x, matrix @ x - right, weights)
    assert np.abs(rest).max() <= 1e-9 * np.abs(right).max()
    assert x.any() == (share < 1)


def test_without_weights_it_is_the_solution_of_the_equations() -> None:
    X = features("independent")
    matrix, right = X.T @ X / len(X), X.T @ FEW[:, 0] / len(X)
    found, _ = lasso(matrix, right, np.zeros(len(right)))
    np.testing.assert_allclose(matrix @ found, right, atol=1e-9)


@pytest.mark.parametrize("right", [np.zeros(3), np.full(3, 1e-300), np.full(3, 1e300)])
def test_any_size_of_labels_has_finite_coefficients(right: Any) -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        found, _ = lasso(np.eye(3), right, np.full(3, 0.1))
    assert np.isfinite(found).all()


def test_a_search_that_ends_early_says_so() -> None:
    X = features("nearly dependent")
    matrix, right = X.T @ X / len(X), X.T @ FEW[:, 0] / len(X)
    weights = np.full(len(right), 1e-3)
    near, is_minimum = lasso(matrix, right, weights, most_operations=0)
    assert not is_minimum
    exact, _ = lasso(matrix, right, weights)
    least, value = (x @ (matrix @ x / 2 - right) + weights @ np.abs(x) for x in (exact, near))
    assert least < value < least + 1e-3 * abs(least)

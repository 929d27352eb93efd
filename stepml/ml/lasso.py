"""The minimum of a quadratic function plus a weighted sum of absolute values.

Orthant-wise L-BFGS comes near it. Then the signs are known, or nearly so, and the equations of the
parameters that are not 0 are solved exactly (feature-sign search: Lee, Battle, Raina, Ng, 2006).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stepml.ml import orthants
from stepml.ml.matrices import Floats64

_MOST_EVALUATIONS = 500
_LEAST_FALL = 1e-9  # relative, in one iteration
_MOST_STEPS = 1000
_MOST_OPERATIONS = 1e11  # of all steps: a few seconds
_A_SOLUTION = 10  # multiply-adds of eigenvectors, relative to the cube of their number
_TOLERANCE = 1e-10  # of the subgradient, relative to the gradient at 0
_LEAST_VARIANCE = 1e-13  # of a direction, relative to the largest


def solution(matrix: Floats64, right: Floats64) -> Floats64:
    """Return the smallest solution of equations with a positive semidefinite matrix."""
    variances, directions, known = _spectrum(matrix)
    shares = directions[:, known].T @ right / variances[known]
    found: Floats64 = directions[:, known] @ shares
    return found


def lasso(
    matrix: Floats64,
    right: Floats64,
    weights: Floats64,
    most_operations: float = _MOST_OPERATIONS,
) -> tuple[Floats64, bool]:
    """Return the x that minimises x'Ax/2 - b'x + Σ weights·|x|, and whether it was found.

    Parameters
    ----------
    matrix : array of shape (n, n)
        A, positive semidefinite, with a diagonal of 1 (or 0).
    right : array of shape (n,)
        b.
    weights : array of shape (n,)
        At least 0.
    most_operations : float
        The limit of the work, after which x is only near the minimum.
    """
    x = _near(matrix, right, weights)
    tolerance = _TOLERANCE * float(np.abs(right).max())
    work = 0
    for _ in range(_MOST_STEPS):
        gradient = matrix @ x - right
        steepest = orthants.steepest(x, gradient, weights)
        if np.abs(steepest).max() <= tolerance:
            return x, True
        active = (x != 0) | (weights == 0)
        if np.abs(steepest[active]).max(initial=0.0) <= tolerance:
            active[np.argmax(np.abs(steepest))] = True
        work += _A_SOLUTION * int(active.sum()) ** 3
        if work > most_operations:
            break
        step = np.zeros(len(x))
        step[active] = _step(matrix[np.ix_(active, active)], -steepest[active], tolerance)
        after = _along(x, step, matrix @ step, gradient, weights)
        if after is x:  # the rest is rounding
            return x, True
        x = after
    return x, False


def _near(matrix: Floats64, right: Floats64, weights: Floats64) -> Floats64:
    evaluations = 0

    def objective(x: Floats64) -> tuple[float, Floats64]:
        nonlocal evaluations
        evaluations += 1
        product = matrix @ x
        return float(x @ (product / 2 - right)), product - right

    now = orthants.start(objective, np.zeros(len(right)), weights, reach=1.0)
    while not now.at_end and evaluations < _MOST_EVALUATIONS:
        now = orthants.advance(objective, now, weights, least_fall=_LEAST_FALL)
    return now.x


def _step(matrix: Floats64, downhill: Floats64, tolerance: float) -> Floats64:
    """Return the way to the minimum of the active parameters if none becomes 0.

    Where they determine each other, only the sum of absolute values changes along some directions.
    Those are taken first, until a parameter becomes 0.
    """
    variances, directions, known = _spectrum(matrix)
    parts = directions.T @ downhill
    if np.abs(parts[~known]).max(initial=0.0) > tolerance:
        parts[known] = 0.0
    else:
        parts[known] /= variances[known]
        parts[~known] = 0.0
    found: Floats64 = directions @ parts
    return found


def _spectrum(matrix: Floats64) -> tuple[Floats64, Floats64, NDArray[np.bool_]]:
    """Return eigenvalues, eigenvectors, and which of them are known.

    Rows of data are float32, so a direction of much less variance than others is their rounding.
    """
    variances, directions = np.linalg.eigh(matrix)
    return variances, directions, variances > _LEAST_VARIANCE * variances[-1]


def _along(
    x: Floats64, step: Floats64, bend: Floats64, gradient: Floats64, weights: Floats64
) -> Floats64:
    """Return the best point of the end of ``step``, and those ahead where a parameter becomes 0.

    ``bend`` is the matrix times ``step``.
    """
    crosses = (x * step < 0) & (weights > 0)
    ends = np.where(crosses, -x / np.where(crosses, step, 1.0), np.inf)
    slope, curvature = float(gradient @ step), float(step @ bend)
    best, least = x, 0.0
    for length in np.unique(np.append(ends[crosses], 1.0)).tolist():
        point = np.where(ends == length, 0.0, x + length * step)
        change = length * slope + length**2 / 2 * curvature
        change += float(weights @ (np.abs(point) - np.abs(x)))
        if change < least:
            best, least = point, change
    return best

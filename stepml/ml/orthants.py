"""Orthant-wise limited-memory BFGS: a smooth objective plus a weighted sum of absolute values.

Andrew and Gao, Scalable Training of L1-Regularized Log-Linear Models, 2007. Each iteration stays
within an orthant, where the sum is linear. A parameter that would leave it becomes exactly 0.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from stepml.ml import lbfgs
from stepml.ml.lbfgs import Iterate, Objective, Vector

_SUFFICIENT = 1e-4  # share of the fall that the slope foretells
_MOST_EVALUATIONS = 25  # of a line search
_LEAST_CURVATURE = 1e-10  # of a step among some parameters, relative to the change of the gradient


def start(objective: Objective, x: Vector, weights: Vector, reach: float = 0.0) -> Iterate:
    """Return the iterate at ``x``; its value has the sum of absolute values, its gradient not.

    Parameters
    ----------
    objective : callable
        The smooth part.
    x : array of shape (n,)
    weights : array of shape (n,)
        Of the absolute values, at least 0.
    reach : float
        As of `lbfgs.start`.
    """
    now = lbfgs.start(objective, x, reach)
    return replace(now, value=now.value + _sum(x, weights))


def advance(
    objective: Objective, now: Iterate, weights: Vector, *, least_fall: float = 1e-13
) -> Iterate:
    """Return the next iterate.

    The parameters are those of `start` and of `lbfgs.advance`. Where the estimated curvature leads
    no further, it is forgotten once before the end.
    """
    if now.at_end or not steepest(now.x, now.gradient, weights).any():
        return replace(now, at_end=True)
    after = _moved(objective, now, weights)
    if now.value - after.value > least_fall * max(abs(now.value), abs(after.value)):
        return after
    return replace(lbfgs.forgotten(after), at_end=not len(now.steps))


def fall_in_sight(now: Iterate, weights: Vector) -> float:
    """Return the predicted fall of the value from an iterate, by the estimated curvature."""
    slope = steepest(now.x, now.gradient, weights)
    return -0.5 * float(_direction(now, slope, weights) @ slope)


def _moved(objective: Objective, now: Iterate, weights: Vector) -> Iterate:
    slope = steepest(now.x, now.gradient, weights)
    direction = _direction(now, slope, weights)
    signs = np.where(now.x == 0, -np.sign(slope), np.sign(now.x))
    length = 1.0 if len(now.steps) else lbfgs.first_step(now, -float(slope @ slope))
    for _ in range(_MOST_EVALUATIONS):
        x = now.x + length * direction
        x[(weights > 0) & (x * signs <= 0)] = 0.0
        fall = float(slope @ (x - now.x))
        if not fall < 0:
            break
        value, gradient = objective(x)
        value += _sum(x, weights)
        if value <= now.value + _SUFFICIENT * fall:  # false for NaN
            return lbfgs.moved(now, x, value, gradient)
        length /= 2
    return now


def steepest(x: Vector, gradient: Vector, weights: Vector) -> Vector:
    """Return the shortest subgradient at ``x``, given the gradient of the smooth part."""
    excess = gradient - np.clip(gradient, -weights, weights)
    return np.where(x == 0, excess, gradient + weights * np.sign(x))


def _direction(now: Iterate, slope: Vector, weights: Vector) -> Vector:
    """Return the quasi-Newton direction, without parts that lead uphill."""
    direction = lbfgs.direction(_among_moving(replace(now, gradient=slope)))
    direction[(weights > 0) & (direction * slope >= 0)] = 0.0
    return direction


def _among_moving(now: Iterate) -> Iterate:
    """Return the iterate with the curvature among the parameters whose gradient is not 0."""
    moves = now.gradient != 0
    steps, changes = now.steps * moves, now.changes * moves
    curvatures = np.einsum("ij,ij->i", steps, changes)
    squares = np.einsum("ij,ij->i", changes, changes)
    curves = curvatures > _LEAST_CURVATURE * squares
    if not curves.any():
        return lbfgs.forgotten(now)
    reach = float(curvatures[curves][-1] / squares[curves][-1])
    return replace(now, steps=steps[curves], changes=changes[curves], reach=reach)


def _sum(x: Vector, weights: Vector) -> float:
    return float(weights @ np.abs(x))

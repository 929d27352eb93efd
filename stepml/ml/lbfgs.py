"""Limited-memory BFGS that can stop after any iteration and resume with the same bits.

Nocedal and Wright, Numerical Optimization, 2nd edition: algorithm 7.4 (two-loop recursion) and
algorithms 3.5 and 3.6 (line search for the strong Wolfe conditions).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]
Objective = Callable[[Vector], tuple[float, Vector]]
"""Returns value and gradient at a point; callers neither change nor store the gradient."""

ARRAYS = ("x", "gradient", "steps", "changes", "numbers")  # names in `Iterate.pack`
MEMORY = 10  # steps from which the curvature is estimated
_SUFFICIENT, _CURVATURE = 1e-4, 0.9  # of the Wolfe conditions: the book's choice for quasi-Newton
_MOST_EVALUATIONS = 25  # of a line search
_LEAST_COSINE = 1e-10  # between step and change of the gradient
_LARGEST_STEP = 1e10


@dataclass(frozen=True, slots=True, eq=False)
class Iterate:
    """A point on the path, with all inputs of the next iteration."""

    x: Vector  # (n,)
    value: float
    gradient: Vector  # (n,)
    steps: Vector  # (m, n) the last m changes of x, the oldest first …
    changes: Vector  # (m, n) … and of the gradient
    reach: float = 0.0  # the inverse of the curvature; 0: unknown
    at_end: bool = False  # no further step makes the value smaller

    def pack(self) -> dict[str, npt.NDArray[Any]]:
        """Return the iterate as arrays by name."""
        return {
            "x": self.x,
            "gradient": self.gradient,
            "steps": self.steps,
            "changes": self.changes,
            "numbers": np.array([self.value, self.reach, self.at_end]),
        }

    @classmethod
    def unpack(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Iterate:
        """Return the iterate of these arrays, which `pack` returned."""
        x, gradient, steps, changes, numbers = (arrays[name] for name in ARRAYS)
        value, reach, at_end = numbers.tolist()
        return cls(x, value, gradient, steps, changes, reach, bool(at_end))


def start(objective: Objective, x: Vector, reach: float = 0.0) -> Iterate:
    """Return the iterate at ``x``; ``reach`` may come from a similar objective."""
    value, gradient = objective(x)
    nothing = np.empty((0, len(x)))
    return Iterate(x, value, gradient, nothing, nothing, reach)


def advance(
    objective: Objective, now: Iterate, *, tolerance: float = 1e-9, least_fall: float = 1e-13
) -> Iterate:
    """Return the next iterate.

    Parameters
    ----------
    objective : callable
    now : Iterate
    tolerance : float
        The end is reached if no element of the gradient is larger than this.
    least_fall : float
        The end is reached if the value falls by no more than this share of it, which may be a
        rounding error.
    """
    if now.at_end or np.abs(now.gradient).max() <= tolerance:
        return _ended(now)
    ahead = direction(now)
    slope = float(ahead @ now.gradient)
    if slope >= 0:  # rounding errors have spoilt the curvature
        now = forgotten(now)
        ahead = -now.gradient
        slope = float(ahead @ now.gradient)
    first = 1.0 if len(now.steps) else first_step(now, slope)
    found = _Search(objective, now, ahead, slope).run(first)
    if found is None:
        return _ended(now)
    after = moved(now, *found)
    falls = now.value - after.value > least_fall * max(abs(now.value), abs(after.value))
    return after if falls else _ended(after)


def fall_in_sight(now: Iterate) -> float:
    """Return the predicted fall of the value from an iterate, by the estimated curvature."""
    return -0.5 * float(direction(now) @ now.gradient)


def first_step(now: Iterate, slope: float) -> float:
    """Return the length of a step along the gradient if the curvature is unknown.

    It ends where the value would be 0 if it fell like a parabola, but is not longer than x. The
    effect of a shorter step could be lost in the value's rounding errors.
    """
    if now.reach:
        return now.reach
    size = float(np.linalg.norm(now.x))
    furthest = size / math.sqrt(-slope) if size else math.inf
    parabola = 2 * abs(now.value) / -slope if now.value else math.inf
    return min(furthest, parabola, _LARGEST_STEP)


def _ended(now: Iterate) -> Iterate:
    return replace(now, at_end=True)


def forgotten(now: Iterate) -> Iterate:
    """Return the iterate without curvature from earlier steps."""
    nothing = np.empty((0, len(now.x)))
    return replace(now, steps=nothing, changes=nothing)


def moved(now: Iterate, x: Vector, value: float, gradient: Vector) -> Iterate:
    """Return the iterate after a step to ``x``, with value and gradient there."""
    step, change = x - now.x, gradient - now.gradient
    curvature = float(step @ change)
    after = replace(now, x=x, value=value, gradient=gradient)
    # Otherwise the pair would spoil positive definiteness.
    if curvature > _LEAST_COSINE * float(np.linalg.norm(step) * np.linalg.norm(change)):
        steps = np.vstack([now.steps, step])[-MEMORY:]
        changes = np.vstack([now.changes, change])[-MEMORY:]
        reach = curvature / float(change @ change)
        after = replace(after, steps=steps, changes=changes, reach=reach)
    return after


def direction(now: Iterate) -> Vector:
    """Return minus the estimated inverse Hessian times the gradient, by the two-loop recursion."""
    q = now.gradient.copy()
    pairs = list(zip(now.steps, now.changes, strict=True))
    weights = []
    for step, change in reversed(pairs):
        weight = float(step @ q) / float(step @ change)
        weights.append(weight)
        q -= weight * change
    if pairs:
        q *= now.reach
    for (step, change), weight in zip(pairs, reversed(weights), strict=True):
        q += (weight - float(change @ q) / float(step @ change)) * step
    return -q


@dataclass(frozen=True, slots=True, eq=False)
class _Point:
    """A point on the line of a search."""

    at: float
    value: float
    slope: float
    x: Vector
    gradient: Vector


class _Search:
    """A line search from an iterate, for a point that meets the strong Wolfe conditions."""

    def __init__(self, objective: Objective, now: Iterate, direction: Vector, slope: float) -> None:
        self._objective = objective
        self._direction = direction
        self._origin = _Point(0.0, now.value, slope, now.x, now.gradient)
        self._left = _MOST_EVALUATIONS

    def run(self, first: float) -> tuple[Vector, float, Vector] | None:
        """Return a lower point with its value and gradient, or None if none is found."""
        found = self._bracketed(first)
        if not found.value < self._origin.value:
            return None
        return found.x, found.value, found.gradient

    def _bracketed(self, at: float) -> _Point:
        before = self._origin
        while self._left:
            point = self._evaluated(at)
            if self._is_too_high(point) or (before.at > 0 and point.value >= before.value):
                return self._zoomed(before, point)
            if abs(point.slope) <= -_CURVATURE * self._origin.slope:
                return point
            if point.slope >= 0:
                return self._zoomed(point, before)
            before, at = point, min(2 * at, _LARGEST_STEP)
        return before

    def _zoomed(self, low: _Point, high: _Point) -> _Point:
        while self._left:
            point = self._evaluated(_between(low, high))
            if self._is_too_high(point) or point.value >= low.value:
                high = point
                continue
            if abs(point.slope) <= -_CURVATURE * self._origin.slope:
                return point
            if point.slope * (high.at - low.at) >= 0:
                high = low
            low = point
        return low

    def _is_too_high(self, point: _Point) -> bool:
        allowed = self._origin.value + _SUFFICIENT * point.at * self._origin.slope
        return not point.value <= allowed  # also true for NaN

    def _evaluated(self, at: float) -> _Point:
        self._left -= 1
        x = self._origin.x + at * self._direction
        value, gradient = self._objective(x)
        return _Point(at, value, float(gradient @ self._direction), x, gradient)


def _between(low: _Point, high: _Point) -> float:
    """Return the minimum of the cubic through both points, not too close to an end (eq. 3.59)."""
    middle = 0.5 * (low.at + high.at)
    width = high.at - low.at
    if width == 0 or not math.isfinite(high.value) or not math.isfinite(high.slope):
        return middle
    d1 = low.slope + high.slope - 3 * (low.value - high.value) / (low.at - high.at)
    square = d1 * d1 - low.slope * high.slope
    if not square >= 0:
        return middle
    d2 = math.copysign(math.sqrt(square), width)
    divisor = high.slope - low.slope + 2 * d2
    if divisor == 0:
        return middle
    share = 1 - (high.slope + d2 - d1) / divisor
    return low.at + width * min(max(share, 0.1), 0.9)

"""Optimisers, schedules and clipping against their definitions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from stepml.job import algorithms
from stepml.ml.algorithms.descent import Descent
from stepml.ml.algorithms.path import MOMENTS, Path
from stepml.ml.models.base import Floats, Penalty
from tests.support.plain_choices import plain

NO_PENALTY = Penalty()


def descent_of(max_epochs: int = 10, **fields: Any) -> Descent:
    algorithm = plain(algorithms.ModelAveraging(**{"learning_rate": 0.5} | fields))
    return Descent.of(algorithm, max_epochs)


def stepped(
    w: Floats,
    gradient: list[float],
    descent: Descent,
    penalty: Penalty = NO_PENALTY,
    steps: int = 1,
) -> Floats:
    """Return the parameters after steps along one gradient."""
    path = Path(descent, penalty, w, {MOMENTS: descent.moments(len(w))})
    for number in range(1, steps + 1):
        path.step(np.array(gradient, np.float32), 0.0, number)
    return path.w


@pytest.mark.parametrize(
    ("fields", "epochs", "rate"),
    [
        ({}, 3.0, 0.5),
        ({"schedule": "inverse", "decay": 2.0}, 3.0, 0.5 / 7),
        ({"schedule": "exponential", "decay": 0.5}, 3.0, 0.5 * math.exp(-1.5)),
        ({"schedule": "cosine"}, 5.0, 0.25),
        ({"schedule": "cosine"}, 10.0, 0.0),
        ({"warmup_epochs": 4.0}, 1.0, 0.125),
        ({"warmup_epochs": 4.0}, 4.0, 0.5),
        ({"schedule": "inverse", "decay": 1.0, "warmup_epochs": 2.0}, 1.0, 0.125),
    ],
)
def test_the_learning_rate_follows_the_schedule(
    fields: dict[str, Any], epochs: float, rate: float
) -> None:
    assert descent_of(**fields).schedule.at(epochs) == pytest.approx(rate, abs=1e-12)


def test_a_long_gradient_is_shortened_and_a_short_one_is_not() -> None:
    w = np.zeros(2, np.float32)
    assert stepped(w, [3, 4], descent_of(clip_norm=1.0)) == pytest.approx([-0.3, -0.4])
    assert stepped(w, [0.3, 0.4], descent_of(clip_norm=1.0)) == pytest.approx([-0.15, -0.2])
    huge = stepped(w, [3e30, 4e30], descent_of(clip_norm=1.0))  # its square is beyond float32
    assert huge == pytest.approx([-0.3, -0.4])


def test_the_penalty_spares_the_intercept() -> None:
    w = np.ones(3, np.float32)
    penalty = Penalty(l2=0.2, n_coefficients=2)
    assert stepped(w, [0, 0, 0], descent_of(), penalty) == pytest.approx([0.9, 0.9, 1])
    penalty = Penalty(l1=0.2, n_coefficients=2)
    assert stepped(w, [0, 0, 0], descent_of(), penalty) == pytest.approx([0.9, 0.9, 1])


def test_l1_makes_small_coefficients_zero() -> None:
    w = np.array([0.05, -0.05, 0.3, -0.3], np.float32)
    moved = stepped(w, [0, 0, 0, 0], descent_of(), Penalty(l1=0.2, n_coefficients=4))
    assert moved == pytest.approx([0, 0, 0.2, -0.2])
    assert not moved[:2].any()


OPTIMISERS: list[dict[str, Any]] = [
    {},
    {"momentum": 0.9},
    {"momentum": 0.9, "nesterov": True},
    {"optimiser": "adam"},
]


@pytest.mark.parametrize("clip_norm", [None, 0.1])
@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_a_gradient_as_strong_as_l1_and_opposite_moves_nothing(
    optimiser: dict[str, Any], clip_norm: float | None
) -> None:
    """So l1 weighs as much as documented, from the first step on."""
    w, penalty = np.array([2, -3, 0, 0], np.float32), Penalty(l1=0.3, n_coefficients=4)
    descent = descent_of(clip_norm=clip_norm, **optimiser)
    moved = stepped(w, [-0.3, 0.3, 0.299, -0.1], descent, penalty, steps=30)
    assert moved[:2] == pytest.approx(w[:2], abs=1e-4)
    assert not moved[2:].any()


def test_nesterov_looks_ahead_by_its_momentum() -> None:
    w, velocity, gradient = np.ones(2), np.zeros(2), np.array([1.0, -2.0])
    for _ in range(4):
        velocity = 0.9 * velocity + gradient
        w -= 0.5 * (gradient + 0.9 * velocity)
    descent = descent_of(momentum=0.9, nesterov=True)
    found = stepped(np.ones(2, np.float32), [1.0, -2.0], descent, steps=4)
    assert found == pytest.approx(w, rel=1e-5)


def test_weight_decay_is_apart_from_gradient_and_moments() -> None:
    """AdamW, algorithm 2 of Loshchilov and Hutter (2019); the intercept does not decay."""
    w, gradient = np.array([1.0, -2.0, 3.0]), np.array([0.5, 4.0, -1.0])
    mean, square = np.zeros(3), np.zeros(3)
    for step in range(1, 6):
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        corrected = np.sqrt(square / (1 - 0.999**step)) + 1e-8
        decay = np.array([0.2, 0.2, 0]) * w
        w = w - 0.5 * (mean / (1 - 0.9**step) / corrected + decay)
    descent = descent_of(optimiser="adam", weight_decay=0.2)
    start, penalty = np.array([1, -2, 3], np.float32), Penalty(n_coefficients=2)
    assert stepped(start, gradient.tolist(), descent, penalty, 5) == pytest.approx(w, rel=1e-4)


@pytest.mark.parametrize(("l1", "l2"), [(0.3, 0.0), (0.0, 0.7), (0.3, 0.7)])
def test_the_minimum_near_a_point_is_the_minimum(l1: float, l2: float) -> None:
    v, weight = np.array([0.1, -2.0, 0.9, 1.0], np.float32), 1.7
    z = v.copy()
    Penalty(l1, l2, 3).minimise_near(z, weight)

    def objective(at: np.ndarray) -> float:
        coefficients = at[:3]
        penalty = l1 * np.abs(coefficients).sum() + l2 / 2 * coefficients @ coefficients
        return float(penalty + weight / 2 * (at - v) @ (at - v))

    lowest = objective(z.astype(np.float64))
    rng = np.random.default_rng(0)
    for size in (1e-3, 1e-2, 1.0):
        for _ in range(50):
            assert objective(z + size * rng.normal(size=4)) >= lowest - 1e-9

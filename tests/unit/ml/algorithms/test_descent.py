"""Optimisers, schedules and clipping against their definitions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from stepml.job import algorithms
from stepml.ml.algorithms.descent import Descent, take
from stepml.ml.models.base import Floats, Penalty
from tests.support.plain_choices import plain

NO_PENALTY = Penalty()


def descent_of(max_epochs: int = 10, **fields: Any) -> Descent:
    algorithm = plain(algorithms.ModelAveraging(**{"learning_rate": 0.5} | fields))
    return Descent.of(algorithm, max_epochs)


def stepped(
    w: Floats, gradient: list[float], descent: Descent, penalty: Penalty = NO_PENALTY
) -> Floats:
    """Return the parameters after one step."""
    at, step = w.copy(), np.array(gradient, np.float32)
    moments = descent.moments(len(w))
    take(at, step, penalty, descent.step(at, step, penalty, moments, 0.0, 1))
    return at


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

"""The end of a job that leaves it open."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from stepml.job import algorithms, models
from stepml.job.choices import inherited
from stepml.job.spec import JobSpec, Stop
from stepml.ml.stopping import converged_at_start, with_one_epoch, with_tolerance
from tests.support.learning import job_of


def job(algorithm: algorithms.Algorithm | None = None, **stop: Any) -> JobSpec:
    descent = algorithms.GradientAveraging(schedule="constant")
    made = job_of(models.LogisticRegression(), algorithm or descent)
    return msgspec.structs.replace(made, stop=Stop(**{"max_epochs": 100} | stop))


def ending(begun: JobSpec, loss: float | None = 0.7, rows: int = 10**6, **more: Any) -> Any:
    stop = with_tolerance(begun, loss, rows, **more).stop
    return stop.tolerance, stop.patience


def test_the_tolerance_is_relative_to_the_loss_and_to_its_noise() -> None:
    assert ending(job()) == (7e-5, 10)
    assert ending(job(), loss=7e9) == (7e5, 10)
    assert ending(job(), rows=100) == (7e-4, 10)
    assert ending(job(), loss=None) == (None, None)


@pytest.mark.parametrize(("max_epochs", "patience"), [(1, 10), (10, 10), (300, 30), (1000, 100)])
def test_patience_suits_the_length_of_the_job(max_epochs: int, patience: int) -> None:
    assert ending(job(max_epochs=max_epochs))[1] == patience


@pytest.mark.parametrize(
    "algorithm",
    [
        algorithms.GradientAveraging(schedule="cosine"),
        algorithms.ModelAveraging(schedule="inverse"),
        algorithms.ModelAveraging(schedule="exponential"),
        algorithms.Admm(),
    ],
)
def test_a_job_that_improves_at_its_end_goes_on(algorithm: algorithms.Algorithm) -> None:
    assert ending(job(algorithm)) == (None, None)
    assert ending(job(algorithm, patience=3)) == (7e-5, 3)


@pytest.mark.parametrize(
    ("asked", "fall", "epochs"),
    [
        ({}, 1e-6, 1),
        ({}, 1e-3, 100),
        ({}, None, 100),
        ({"max_epochs": 7}, 1e-6, 100),
        ({"target": 0.9, "metric": "accuracy"}, 1e-6, 100),
        ({"target_loss": 0.1}, 1e-6, 100),
    ],
)
def test_a_job_that_begins_at_the_minimum_has_one_epoch(
    asked: dict[str, Any], fall: float | None, epochs: int
) -> None:
    assert with_one_epoch(job(), Stop(**asked), fall).stop.max_epochs == epochs


def test_a_rate_that_rises_first_has_its_epochs() -> None:
    warm = job(algorithms.ModelAveraging(warmup_epochs=3))
    assert with_one_epoch(warm, Stop(), 1e-6).stop.max_epochs == 100


def test_a_job_that_began_at_the_minimum_has_converged_after_its_last_epoch() -> None:
    stop = Stop(max_epochs=2)
    assert converged_at_start(stop, 1, 1e-6) is None
    assert "began at the minimum" in str(converged_at_start(stop, 2, 1e-6))
    assert converged_at_start(stop, 2, 1e-3) is None
    assert converged_at_start(stop, 2, None) is None


def test_given_values_stay() -> None:
    assert ending(job(tolerance=0.5)) == (0.5, 1)
    assert ending(job(tolerance=0.5, patience=4)) == (0.5, 4)
    assert ending(job(patience=4)) == (7e-5, 4)
    assert ending(job(tolerance=0.5), loss=None) == (0.5, 1)


def test_another_metric_than_the_loss_needs_a_wish() -> None:
    assert ending(job(metric="accuracy")) == (None, None)
    assert ending(job(metric="accuracy", patience=5)) == (0.0, 5)


def test_a_resumed_job_ends_like_the_other_one() -> None:
    before = with_tolerance(job(), 0.7, 10**6)
    assert ending(inherited(job(), before), loss=3.0, begins=False) == (7e-5, 10)
    assert ending(inherited(job(tolerance=0.1), before), begins=False) == (0.1, 1)
    # An earlier version wrote the patience of a job without tolerance.
    earlier = job(patience=1)
    assert ending(inherited(job(), earlier), begins=False) == (None, None)
    assert ending(inherited(job(patience=3), earlier), begins=False) == (7e-5, 3)

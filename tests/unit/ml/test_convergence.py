"""The end of training."""

from __future__ import annotations

import math

import numpy as np
import pytest

from stepml.job import algorithms, models, spec
from stepml.job.errors import TrainingDivergedError
from stepml.job.reports import EpochReport
from stepml.job.spec import Stop
from stepml.ml.convergence import (
    Spent,
    decide,
    require_finite_losses,
    require_finite_parameters,
)
from tests.support.learning import job_of
from tests.support.plain_choices import plain


def epochs(stop: Stop, losses: list[float]) -> list[tuple[str, str]]:
    """Return the decision and the reason after each of the losses."""
    previous: EpochReport | None = None
    decisions = []
    for epoch, loss in enumerate(losses, start=1):
        verdict = decide(plain(stop), epoch, loss, previous)
        decisions.append((verdict.decision, verdict.reason))
        previous = EpochReport(
            epoch=epoch,
            decision=verdict.decision,
            reason=verdict.reason,
            next_epoch=epoch + 1,
            loss=loss,
            metrics={},
            training_loss=loss,
            best_loss=verdict.best_loss,
            epochs_without_improvement=verdict.epochs_without_improvement,
            seconds=0,
            active_seconds=0,
            cost_usd=0,
            total_cost_usd=0,
            executor_seconds=[],
            stragglers=[],
            called_again=[],
        )
    return decisions


def test_max_epochs_stops() -> None:
    decided = epochs(Stop(max_epochs=3), [3, 4, 5])
    assert [decision for decision, _ in decided] == ["continue", "continue", "stopped"]
    assert decided[-1][1] == "max_epochs 3 reached"


def test_a_target_loss_converges_at_once() -> None:
    decided = epochs(Stop(target_loss=1.5, max_epochs=2), [2, 1.5])
    assert decided[-1] == ("converged", "loss 1.5 reached target_loss 1.5")


def test_tolerance_waits_for_patience_in_a_row() -> None:
    stop = Stop(tolerance=0.1, patience=2)
    decided = epochs(stop, [1.0, 0.95, 0.7, 0.69, 0.68])
    assert [decision for decision, _ in decided] == ["continue"] * 4 + ["converged"]
    assert decided[-1][1] == "no improvement above tolerance 0.1 for 2 epochs in a row"


def test_without_tolerance_a_rising_loss_goes_on() -> None:
    assert {decision for decision, _ in epochs(Stop(), [1, 2, 3, 4])} == {"continue"}


RATES = job_of(models.LogisticRegression(), algorithms.ModelAveraging())


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_no_number_ends_the_job_by_name(loss: float) -> None:
    with pytest.raises(
        TrainingDivergedError, match=r"the training loss is (nan|inf) after epoch 1"
    ):
        require_finite_losses(RATES, 1, validation=0.5, training=loss)
    require_finite_losses(RATES, 1, validation=0.5, training=0.5)


def test_a_parameter_that_is_no_number_ends_the_job_by_name() -> None:
    with pytest.raises(
        TrainingDivergedError, match="a parameter of the model is not a finite number"
    ):
        require_finite_parameters(RATES, 1, np.array([1, np.inf], np.float32))
    require_finite_parameters(RATES, 1, np.zeros(2, np.float32))


@pytest.mark.parametrize(
    ("job", "advice"),
    [
        (RATES, r"; lower algorithm\.learning_rate or set data\.standardise$"),
        (
            job_of(models.LogisticRegression(), algorithms.Admm()),
            r"; change algorithm\.rho or set data\.standardise$",
        ),
        (job_of(models.Svm(), algorithms.Admm()), r"; lower algorithm\.learning_rate or set data"),
        (
            job_of(models.KMeans(n_clusters=2), algorithms.ExpectationMaximisation()),
            r"; set data\.standardise$",
        ),
    ],
)
def test_the_advice_suits_the_job(job: spec.JobSpec, advice: str) -> None:
    with pytest.raises(TrainingDivergedError, match=advice):
        require_finite_losses(job, 3, validation=math.nan)


def test_what_the_algorithm_says_ends_the_job_before_max_epochs() -> None:
    verdict = decide(Stop(max_epochs=5), 5, 1.0, None, "no centroid moved any more")
    assert (verdict.decision, verdict.reason) == ("converged", "no centroid moved any more")


SPENT = Spent(seconds=60, epoch_seconds=30, cost_usd=0.04, epoch_cost_usd=0.02)


@pytest.mark.parametrize(
    ("stop", "reason"),
    [
        (Stop(max_seconds=90), "not converged yet"),
        (Stop(max_seconds=89), "max_seconds 89: 60.0 spent, an epoch takes about 30.0"),
        (Stop(max_cost_usd=0.0601), "not converged yet"),
        (Stop(max_cost_usd=0.0599), "max_cost_usd 0.0599: 0.04 spent, an epoch costs about 0.02"),
    ],
)
def test_a_budget_has_room_for_another_epoch_or_ends_the_job(stop: Stop, reason: str) -> None:
    verdict = decide(plain(stop), 2, 1.0, None, spent=SPENT)
    assert verdict.reason == reason
    assert verdict.decision == ("continue" if reason == "not converged yet" else "stopped")


def test_the_first_reason_wins() -> None:
    stop = Stop(max_epochs=2, target_loss=0.5, max_seconds=1, max_cost_usd=0.001)
    verdicts = [
        decide(stop, 2, 0.5, None, "no centroid moved", SPENT),
        decide(stop, 2, 0.6, None, "no centroid moved", SPENT),
        decide(stop, 2, 0.6, None, None, SPENT),
        decide(stop, 1, 0.6, None, None, SPENT),
        decide(plain(Stop(max_cost_usd=0.001)), 1, 0.6, None, None, SPENT),
    ]
    starts = ["loss 0.5 reached", "no centroid", "max_epochs 2", "max_seconds 1:", "max_cost_usd"]
    for verdict, start in zip(verdicts, starts, strict=True):
        assert verdict.reason.startswith(start)

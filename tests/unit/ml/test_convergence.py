"""The end of training."""

from __future__ import annotations

import math

import numpy as np
import pytest
from msgspec.structs import replace

from stepml.job import algorithms, models, spec
from stepml.job.errors import InvalidDataError, TrainingDivergedError
from stepml.job.reports import EpochReport
from stepml.job.spec import Stop
from stepml.ml.convergence import (
    OwnCriterion,
    Spent,
    Verdict,
    decide,
    require_finite_losses,
    require_finite_parameters,
)
from stepml.ml.models import Evaluation
from stepml.ml.standing import Standing, best_epoch, kept_epoch, value_of
from tests.support.learning import job_of
from tests.support.plain_choices import plain


def epochs(stop: Stop, losses: list[float]) -> list[tuple[str, str]]:
    """Return the decision and the reason after each of the losses."""
    previous: EpochReport | None = None
    decisions = []
    for epoch, loss in enumerate(losses, start=1):
        verdict = decide(plain(stop), epoch, loss, previous)
        decisions.append((verdict.decision, verdict.reason))
        previous = report_of(epoch, verdict, loss, {})
    return decisions


def report_of(epoch: int, verdict: Verdict, loss: float, metrics: dict[str, float]) -> EpochReport:
    return EpochReport(
        epoch=epoch,
        decision=verdict.decision,
        reason=verdict.reason,
        next_epoch=epoch + 1,
        loss=loss,
        metrics=metrics,
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


def test_max_epochs_stops() -> None:
    decided = epochs(Stop(max_epochs=3), [3, 4, 5])
    assert [decision for decision, _ in decided] == ["continue", "continue", "finished"]
    assert decided[-1][1] == "max_epochs 3 reached"


def test_a_target_loss_converges_at_once() -> None:
    decided = epochs(Stop(target_loss=1.5, max_epochs=2), [2, 1.5])
    assert decided[-1] == ("converged", "loss 1.5 reached target_loss 1.5")


def test_tolerance_waits_for_patience_in_a_row() -> None:
    stop = Stop(tolerance=0.1, patience=2)
    decided = epochs(stop, [1.0, 0.95, 0.7, 0.69, 0.68])
    assert [decision for decision, _ in decided] == ["continue"] * 4 + ["converged"]
    assert decided[-1][1] == "no improvement above tolerance 0.1 for 2 epochs in a row"


def by(metric: str, stop: Stop, values: list[float]) -> list[tuple[str, str]]:
    """Return the decisions and reasons after epochs with these values of a metric."""
    stop = plain(replace(stop, metric=metric))
    reports: list[EpochReport] = []
    for epoch, value in enumerate(values, start=1):
        previous = reports[-1] if reports else None
        measured = Evaluation(float(epoch), {metric: value})
        standing = Standing.of(stop, measured, previous, lambda: reports)
        verdict = decide(stop, epoch, float(epoch), previous, standing=standing)
        report = report_of(epoch, verdict, measured.loss, measured.metrics)
        reports.append(replace(report, measure=metric, best_value=verdict.best_value))
    return [(each.decision, each.reason) for each in reports]


def test_epochs_are_judged_by_the_metric_that_is_asked_for() -> None:
    stop = Stop(tolerance=0.05, patience=2)
    decided = by("accuracy", stop, [0.5, 0.6, 0.63, 0.62, 0.9])
    assert [decision for decision, _ in decided[:4]] == ["continue"] * 3 + ["converged"]
    assert decided[3][1] == "no improvement of accuracy above tolerance 0.05 for 2 epochs in a row"
    decided = by("rmse", Stop(tolerance=0.05), [0.6, 0.5, 0.48])
    assert [decision for decision, _ in decided] == ["continue", "continue", "converged"]


@pytest.mark.parametrize(
    ("metric", "values"), [("auc", [0.7, 0.8, 0.81]), ("mae", [0.9, 0.85, 0.8])]
)
def test_a_target_is_reached_from_its_own_side(metric: str, values: list[float]) -> None:
    decided = by(metric, Stop(target=0.8), values)
    reached = next(number for number, (decision, _) in enumerate(decided) if decision != "continue")
    assert values[reached] == 0.8
    assert decided[reached] == ("converged", f"{metric} 0.8 reached target 0.8")


def test_a_job_resumed_with_another_metric_knows_the_best_value_of_it() -> None:
    first = Evaluation(1.0, {"f1": 0.7, "auc": 0.9}), Evaluation(2.0, {"f1": 0.9, "auc": 0.8})
    history = [
        replace(report_of(n, decide(plain(Stop()), n, each.loss, None), each.loss, each.metrics))
        for n, each in enumerate(first, start=1)
    ]
    stop = plain(Stop(metric="auc", keep="best"))
    standing = Standing.of(stop, Evaluation(3.0, {"auc": 0.85}), history[-1], lambda: history)
    assert (standing.best_before, standing.best) == (0.9, 0.9)
    assert kept_epoch(stop, history) == 1
    assert kept_epoch(plain(Stop(metric="f1", keep="best")), history) == 2
    assert kept_epoch(plain(Stop()), history) == 2


def test_of_equal_epochs_the_first_is_the_best() -> None:
    verdict = decide(plain(Stop()), 1, 1.0, None)
    history = [
        report_of(n, verdict, 1.0, {"accuracy": a}) for n, a in ((1, 0.8), (2, 0.9), (3, 0.9))
    ]
    assert best_epoch(plain(Stop(metric="accuracy")), history) == 2
    assert best_epoch(plain(Stop()), history) == 1


def test_a_metric_that_the_rows_lack_is_refused_by_name() -> None:
    found = Evaluation(0.5, {"accuracy": 0.9})
    with pytest.raises(InvalidDataError, match=r"stop.metric: .* no auc, .* one of loss, accuracy"):
        value_of(found, "auc")
    with pytest.raises(InvalidDataError, match=r"no top5_accuracy, as there are at most 5 classes"):
        value_of(found, "top5_accuracy")
    with pytest.raises(InvalidDataError, match=r"no rmse; expected one of"):
        value_of(found, "rmse")


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
    own = OwnCriterion("no centroid moved any more")
    verdict = decide(Stop(max_epochs=5), 5, 1.0, None, own)
    assert (verdict.decision, verdict.reason) == ("converged", "no centroid moved any more")


def test_max_epochs_say_what_convergence_lacks() -> None:
    verdict = decide(Stop(max_epochs=3), 3, 1.0, None, OwnCriterion(lacks="centroids still move"))
    assert verdict.decision == "finished"
    assert verdict.reason == "max_epochs 3 reached; centroids still move"


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
    assert verdict.decision == ("continue" if reason == "not converged yet" else "finished")


def test_the_first_reason_wins() -> None:
    stop = Stop(max_epochs=2, target_loss=0.5, max_seconds=1, max_cost_usd=0.001)
    rests = OwnCriterion("no centroid moved")
    verdicts = [
        decide(stop, 2, 0.5, None, rests, SPENT),
        decide(stop, 2, 0.6, None, rests, SPENT),
        decide(stop, 2, 0.6, None, None, SPENT),
        decide(stop, 1, 0.6, None, None, SPENT),
        decide(plain(Stop(max_cost_usd=0.001)), 1, 0.6, None, None, SPENT),
    ]
    starts = ["loss 0.5 reached", "no centroid", "max_epochs 2", "max_seconds 1:", "max_cost_usd"]
    for verdict, start in zip(verdicts, starts, strict=True):
        assert verdict.reason.startswith(start)

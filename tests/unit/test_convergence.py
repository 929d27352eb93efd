"""When training ends."""

from __future__ import annotations

import math

import pytest

from stepml.job.errors import TrainingDivergedError
from stepml.job.reports import EpochReport
from stepml.job.spec import Stop
from stepml.ml.convergence import decide, require_finite


def epochs(stop: Stop, losses: list[float]) -> list[tuple[str, str]]:
    """Return the decision and the reason after each of the losses."""
    previous: EpochReport | None = None
    decisions = []
    for epoch, loss in enumerate(losses, start=1):
        verdict = decide(stop, epoch, loss, previous)
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
            executor_seconds=[],
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


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_no_number_ends_the_job_by_name(loss: float) -> None:
    with pytest.raises(
        TrainingDivergedError, match=r"after epoch 1; lower algorithm.learning_rate"
    ):
        require_finite(1, validation=0.5, training=loss)


def test_what_the_algorithm_says_ends_the_job_before_max_epochs() -> None:
    verdict = decide(Stop(max_epochs=5), 5, 1.0, None, "no centroid moved any more")
    assert (verdict.decision, verdict.reason) == ("converged", "no centroid moved any more")

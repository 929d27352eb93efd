"""The decision after an epoch: whether training continues."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from stepml.job.errors import TrainingDivergedError
from stepml.job.measures import LOSS
from stepml.job.reports import EpochReport
from stepml.job.spec import JobSpec, Stop
from stepml.job.spec_base import settled
from stepml.job.tasks import Decision
from stepml.ml.matrices import Floats
from stepml.ml.standing import Standing

EndedBy = Literal[
    "target_loss", "target", "tolerance", "algorithm", "max_epochs", "max_seconds", "max_cost_usd"
]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision after an epoch, and the inputs of the next one."""

    decision: Decision
    reason: str
    best_loss: float
    best_value: float  # of stop.metric
    epochs_without_improvement: int


@dataclass(frozen=True, slots=True)
class OwnCriterion:
    """The verdict of an algorithm that knows by itself when it has converged."""

    converged: str | None = None  # the reason
    lacks: str = ""  # what convergence lacks, in words


@dataclass(frozen=True, slots=True)
class Spent:
    """Time and money that an epoch and all before it took, to be compared with budgets.

    For a resumed job, the epochs of the earlier job count as well.
    """

    seconds: float = 0.0  # active ones, of all epochs
    epoch_seconds: float = 0.0
    cost_usd: float = 0.0  # of all epochs
    epoch_cost_usd: float = 0.0
    final_usd: float = 0.0  # of the model and the report, behind the last epoch


def spent_with(
    previous: EpochReport | None,
    epoch_seconds: float,
    epoch_cost_usd: float,
    preparation_usd: float = 0.0,
) -> Spent:
    """Return the expenses after an epoch.

    Parameters
    ----------
    previous : EpochReport or None
        The report of the epoch before.
    epoch_seconds, epoch_cost_usd : float
    preparation_usd : float
        Cost of the job before this epoch that no earlier report has.
    """
    return Spent(
        seconds=round((previous.active_seconds if previous else 0.0) + epoch_seconds, 3),
        epoch_seconds=epoch_seconds,
        cost_usd=round(
            (previous.total_cost_usd if previous else 0.0) + preparation_usd + epoch_cost_usd, 9
        ),
        epoch_cost_usd=epoch_cost_usd,
    )


def require_finite_parameters(job: JobSpec, epoch: int, parameters: Floats) -> None:
    """Raise `TrainingDivergedError` if a parameter is not a finite number."""
    if not np.isfinite(parameters).all():
        raise TrainingDivergedError(
            f"a parameter of the model is not a finite number after epoch {epoch}; {advice(job)}"
        )


def require_finite_losses(job: JobSpec, epoch: int, **losses: float) -> None:
    """Raise `TrainingDivergedError` if a loss of an epoch is not a finite number."""
    for name, loss in losses.items():
        if not math.isfinite(loss):
            raise TrainingDivergedError(
                f"the {name} loss is {loss} after epoch {epoch}; {advice(job)}"
            )


def advice(job: JobSpec) -> str:
    """Return changes to a job that diverges or learns badly."""
    remedies = settled(job.algorithm).remedies(job.model)
    fields = (*remedies, *advice_on_scale(job), *job.model.remedies)
    return " or ".join(fields) or "look for huge values in the data"


def advice_on_scale(job: JobSpec) -> tuple[str, ...]:
    """Return the advice to standardise features; a network normalises images itself."""
    is_scaled = job.data.rescales or job.model.takes_images
    return () if is_scaled else ("set data.standardise",)


def decide(
    stop: Stop,
    epoch: int,
    loss: float,
    previous: EpochReport | None,
    own: OwnCriterion | None = None,
    spent: Spent | None = None,
    standing: Standing | None = None,
) -> Verdict:
    """Return the verdict after ``epoch`` with a finite validation ``loss``.

    The job ends when another epoch like the last one would exceed a budget. The first epoch always
    runs.

    Parameters
    ----------
    stop : Stop
    epoch : int
        From 1.
    loss : float
    previous : EpochReport or None
        The report of the epoch before; None after the first.
    own : OwnCriterion, optional
        That of the algorithm, if it has one.
    spent : Spent, optional
        Expenses with this epoch; without them, budgets are ignored.
    standing : Standing, optional
        That of the epoch by ``stop.metric``, unless it is the loss.
    """
    best = previous.best_loss if previous else math.inf
    standing = standing or Standing(LOSS, loss, previous.best_loss if previous else None)
    improved = stop.tolerance is None or standing.improves_by_more_than(stop.tolerance)
    without = 0 if improved or previous is None else previous.epochs_without_improvement + 1
    own = own or OwnCriterion()
    spent = spent or Spent()
    decision, reason = _decision(stop, epoch, loss, standing, without, own, spent)
    return Verdict(decision, reason, min(best, loss), standing.best, without)


def end_of(stop: Stop, last: EpochReport) -> EndedBy:
    """Return the criterion that ended a job, given the report of its last epoch."""
    if stop.target_loss is not None and last.loss <= stop.target_loss:
        return "target_loss"
    if stop.target is not None and Standing.of(stop, last, None, list).reaches(stop.target):
        return "target"
    if stop.tolerance is not None and last.epochs_without_improvement >= _patience(stop):
        return "tolerance"
    if last.decision == "converged":
        return "algorithm"
    limits: tuple[EndedBy, ...] = ("max_epochs", "max_seconds", "max_cost_usd")
    return next((limit for limit in limits if last.reason.startswith(limit)), "max_epochs")


def _decision(
    stop: Stop,
    epoch: int,
    loss: float,
    standing: Standing,
    without: int,
    own: OwnCriterion,
    spent: Spent,
) -> tuple[Decision, str]:
    if stop.target_loss is not None and loss <= stop.target_loss:
        return "converged", f"loss {loss:.6g} reached target_loss {stop.target_loss:g}"
    if stop.target is not None and standing.reaches(stop.target):
        return "converged", f"{stop.metric} {standing.value:.6g} reached target {stop.target:g}"
    patience = _patience(stop)
    if stop.tolerance is not None and without >= patience:
        epochs = "an epoch" if patience == 1 else f"{patience} epochs in a row"
        of_what = "" if stop.metric == LOSS else f" of {stop.metric}"
        reason = f"no improvement{of_what} above tolerance {stop.tolerance:g} for {epochs}"
        return "converged", reason
    if own.converged is not None:
        return "converged", own.converged
    if epoch >= settled(stop.max_epochs):
        lacks = own.lacks and f"; {own.lacks}"
        return "finished", f"max_epochs {stop.max_epochs} reached{lacks}"
    exceeded = _exceeded_budget(stop, spent)
    if exceeded is not None:
        return "finished", exceeded
    return "continue", "not converged yet"


def _patience(stop: Stop) -> int:
    return stop.patience or 1


def _exceeded_budget(stop: Stop, spent: Spent) -> str | None:
    """Return a message about the budget that another epoch like the last would exceed, or None."""
    seconds, usd = stop.max_seconds, stop.max_cost_usd
    if seconds is not None and spent.seconds + spent.epoch_seconds > seconds:
        return (
            f"max_seconds {seconds}: {spent.seconds:.1f} spent, "
            f"an epoch takes about {spent.epoch_seconds:.1f}"
        )
    if usd is not None and spent.cost_usd + spent.epoch_cost_usd + spent.final_usd > usd:
        end = f", the end {spent.final_usd:.2g}" if spent.final_usd else ""
        return (
            f"max_cost_usd {usd:g}: {spent.cost_usd:.2g} spent, "
            f"an epoch costs about {spent.epoch_cost_usd:.2g}{end}"
        )
    return None

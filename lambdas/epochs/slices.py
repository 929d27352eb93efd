"""The evaluation of a model by several functions, each on a slice of the validation rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lambdas.attempts.costs import Invocation
from lambdas.epochs.base import EpochEnd
from lambdas.epochs.runs import EpochRun
from lambdas.job_store import JobStore, MergedEpoch, TrainingPlan
from lambdas.job_store.shards import load_shard
from lambdas.job_store.tallies import COST, SUMS, sum_of
from stepml.job import keys
from stepml.job.tasks import EvaluationTask
from stepml.ml.convergence import require_finite_losses
from stepml.ml.models import Evaluation, NeuralNetwork


class Slices(NamedTuple):
    """The results of all slices."""

    evaluation: Evaluation
    costs_usd: list[float]
    merging_usd: float = 0.0  # of the function that merged the epoch


def publish_merged(run: EpochRun, end: EpochEnd, invocation: Invocation) -> None:
    """Write the end of an epoch, for the report that is built when all slices are evaluated."""
    require_finite_losses(run.plan.spec, run.task.epoch, training=end.training_loss)
    merged = MergedEpoch(
        run.task.n_slices,
        end.training_loss,
        invocation.cost_usd(),
        end.staleness_mean,
        end.staleness_max,
        end.lost_updates,
    )
    run.store.merged_epoch(run.task.epoch).replace(merged, unless=lambda _: True)


def evaluate_slice(
    task: EvaluationTask, store: JobStore, plan: TrainingPlan, invocation: Invocation
) -> None:
    """Write the sums of one slice; if done before, do nothing."""
    entry = store.tally(task.epoch, task.slice)
    if entry.find_whole() is not None:
        return
    model, shard = _network(plan), load_shard(store, plan, keys.VALIDATION)
    first, end = (len(shard.y) * (task.slice + n) // task.n_slices for n in (0, 1))
    rows = slice(first, end)
    sums = model.tally(
        store.state(task.epoch).load().parameters, shard.X[rows], model.targets(shard.y[rows])
    )
    tally = {SUMS: sums, COST: np.array([invocation.cost_usd()])}
    entry.replace(tally, unless=lambda _: True)


def end_of_merged(run: EpochRun, merged: MergedEpoch) -> EpochEnd:
    """Return the end of an epoch whose state is evaluated apart."""
    return EpochEnd(
        run.store.state(run.task.epoch).load(),
        merged.training_loss,
        staleness_mean=merged.staleness_mean,
        staleness_max=merged.staleness_max,
        lost_updates=merged.lost_updates,
    )


def load_slices(run: EpochRun, merged: MergedEpoch) -> Slices:
    """Return the quality of the state by the sums of all slices, and the costs.

    Raises
    ------
    KeyNotFoundError
        A slice has not been evaluated.
    DamagedValueError
        Its sums are damaged; another attempt evaluates it again.
    """
    read = run.store.tallies(run.task.epoch, merged.n_slices)
    costs_usd = [each[COST].item() for each in read]
    return Slices(_network(run.plan).judged(sum_of(read)), costs_usd, merged.cost_usd)


def _network(plan: TrainingPlan) -> NeuralNetwork:
    model = plan.model()
    assert isinstance(model, NeuralNetwork)
    return model

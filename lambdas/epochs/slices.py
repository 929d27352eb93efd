"""The evaluation of a model by several functions, each on a slice of the validation rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lambdas.attempts.costs import Invocation
from lambdas.epochs.base import EpochEnd
from lambdas.epochs.runs import EpochRun
from lambdas.job_store import JobStore, MergedEpoch, TrainingPlan
from lambdas.job_store.entries import require_found
from lambdas.job_store.shards import load_shard
from stepml.job import keys
from stepml.job.tasks import EvaluationTask
from stepml.ml.convergence import require_finite_losses
from stepml.ml.models import Evaluation, NeuralNetwork

_SUMS, _COST = "sums", "cost_usd"


class Slices(NamedTuple):
    """The results of all slices."""

    evaluation: Evaluation
    costs_usd: list[float]
    merging_usd: float = 0.0  # of the function that merged the epoch


def publish_merged(run: EpochRun, end: EpochEnd, invocation: Invocation) -> None:
    """Write the end of an epoch, for the report that is built when all slices are evaluated."""
    require_finite_losses(run.plan.spec, run.task.epoch, training=end.training_loss)
    run.store.merged_epoch(run.task.epoch).publish(
        MergedEpoch(
            run.task.n_slices,
            end.training_loss,
            invocation.cost_usd(),
            end.staleness_mean,
            end.staleness_max,
            end.lost_updates,
        )
    )


def evaluate_slice(
    task: EvaluationTask, store: JobStore, plan: TrainingPlan, invocation: Invocation
) -> None:
    """Write the sums of one slice; if done before, do nothing."""
    entry = store.tally(task.epoch, task.slice)
    if entry.exists():
        return
    model, shard = _network(plan), load_shard(store, plan, keys.VALIDATION)
    first, end = (len(shard.y) * (task.slice + n) // task.n_slices for n in (0, 1))
    rows = slice(first, end)
    sums = model.tally(
        store.state(task.epoch).load().parameters, shard.X[rows], model.targets(shard.y[rows])
    )
    entry.publish({_SUMS: sums, _COST: np.array([invocation.cost_usd()])})


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
    """
    entries = [run.store.tally(run.task.epoch, part) for part in range(merged.n_slices)]
    found = run.store.storage.load_many([each.key for each in entries])
    require_found(entries, found)
    read = [each.decode(found[each.key], each.key) for each in entries]
    sums = np.sum([each[_SUMS] for each in read], axis=0)
    costs_usd = [each[_COST].item() for each in read]
    return Slices(_network(run.plan).judged(sums), costs_usd, merged.cost_usd)


def _network(plan: TrainingPlan) -> NeuralNetwork:
    model = plan.model()
    assert isinstance(model, NeuralNetwork)
    return model

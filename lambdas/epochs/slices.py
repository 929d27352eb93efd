"""The evaluation of a model by several functions, each on a slice of the validation rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from lambdas.attempts.costs import Invocation
from lambdas.attempts.times import times_of
from lambdas.epochs.base import EpochEnd
from lambdas.epochs.runs import EpochRun
from lambdas.job_store import JobStore, MergedEpoch, TrainingPlan
from lambdas.job_store.shards import load_shard
from lambdas.job_store.tallies import COST, OUTPUTS, SUMS, TIMES, sum_of, text_array, times_in
from stepml.job import keys
from stepml.job.errors import ExecutorPausedError
from stepml.job.packed_times import pack_times
from stepml.job.stopwatch import timed
from stepml.job.tasks import EvaluationTask
from stepml.ml.algorithms import Extras
from stepml.ml.algorithms.base import never
from stepml.ml.convergence import require_finite_losses
from stepml.ml.models import Evaluation, NeuralNetwork
from stepml.ml.models.base import Floats
from stepml.ml.models.row_weights import targets_on


class Slices(NamedTuple):
    """The results of all slices."""

    evaluation: Evaluation
    costs_usd: list[float]
    times: list[str]  # packed
    merging_usd: float = 0.0  # of the function that merged the epoch
    merging_times: str = ""


def publish_merged(run: EpochRun, end: EpochEnd, invocation: Invocation) -> None:
    """Write the end of an epoch, for the report that is built when all slices are evaluated."""
    require_finite_losses(run.plan.spec, run.task.epoch, training=end.training_loss)
    cost_usd = invocation.cost_usd()
    times = times_of(invocation, run.task, "merger", 0, cost_usd)
    merged = MergedEpoch(
        run.task.n_slices,
        end.training_loss,
        cost_usd,
        end.staleness_mean,
        end.staleness_max,
        end.lost_updates,
        pack_times(times, run.plan.spec.exchange.channel),
    )
    run.store.merged_epoch(run.task.epoch).replace(merged, unless=lambda _: True)


def evaluate_slice(
    task: EvaluationTask,
    store: JobStore,
    plan: TrainingPlan,
    invocation: Invocation,
    must_pause: Callable[[], bool] = never,
) -> None:
    """Write the sums of one slice; if done before, do nothing.

    Raises
    ------
    ExecutorPausedError
        The outputs for the first rows are saved; the next call goes on.
    """
    entry = store.tally(task.epoch, task.slice)
    progress = store.slice_progress(task.epoch, task.slice)
    found = store.storage.load_many([entry.key, progress.key])
    if entry.read_whole(found) is not None:
        return
    model, shard = _network(plan), load_shard(store, plan, keys.VALIDATION)
    first, end = (len(shard.y) * (task.slice + n) // task.n_slices for n in (0, 1))
    X, y = shard.X[first:end], targets_on(model, shard, slice(first, end))
    nothing: Extras = {OUTPUTS: np.zeros((0, model.n_outputs), np.float32), COST: np.zeros(1)}
    before = progress.read_whole(found) or nothing
    with timed("load"):
        parameters, n_done = store.state(task.epoch).load().parameters, len(before[OUTPUTS])
    with timed("compute"):
        outputs = _until(must_pause, model.output_blocks(parameters, X, n_done), before[OUTPUTS])
    cost_usd = before[COST] + invocation.cost_usd()
    cost: Extras = {COST: cost_usd}
    if len(outputs) < len(X):
        with timed("snapshot"):
            progress.save({OUTPUTS: outputs, **cost})
        raise ExecutorPausedError(
            f"slice {task.slice} of epoch {task.epoch} is evaluated up to row {len(outputs)} of "
            f"{len(X)}"
        )
    with timed("compute"):
        sums = model.tally_outputs(outputs, y)
    times = times_of(invocation, task, "evaluator", task.slice, cost_usd.item())
    packed = pack_times(times, plan.spec.exchange.channel)
    entry.replace({SUMS: sums, TIMES: text_array(packed), **cost}, unless=lambda _: True)


def _until(must_pause: Callable[[], bool], blocks: Iterator[Floats], before: Floats) -> Floats:
    """Return the outputs of all rows, or of the first ones once it is time to pause."""
    outputs = [before]
    for block in blocks:
        outputs.append(block)
        if must_pause():
            break
    return np.concatenate(outputs)


def evaluation_of_nothing(store: JobStore, plan: TrainingPlan) -> Evaluation:
    """Return the quality of a network whose outputs are 0: it has the measures of the rows."""
    model, shard = _network(plan), load_shard(store, plan, keys.VALIDATION)
    outputs = np.zeros((len(shard.y), model.n_outputs), np.float32)
    return model.judged(model.tally_outputs(outputs, targets_on(model, shard)))


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
    costs_usd, times = [each[COST].item() for each in read], [times_in(each) for each in read]
    evaluation = _network(run.plan).judged(sum_of(read))
    return Slices(evaluation, costs_usd, times, merged.cost_usd, merged.times)


def _network(plan: TrainingPlan) -> NeuralNetwork:
    model = plan.model()
    assert isinstance(model, NeuralNetwork)
    return model

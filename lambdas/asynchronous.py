"""Trains one rank asynchronously: it changes a shared model and waits for nobody's batch."""

from __future__ import annotations

from typing import Any

from comm import SharedModelExchange
from lambdas.environment import Deadline
from lambdas.exchanges import open_shared
from lambdas.logs import best_effort
from lambdas.plans import TrainingPlan
from lambdas.shards import load_shard
from lambdas.watch import Watch
from stepml.job.errors import AttemptStoppedError
from stepml.job.tasks import ExecutorTask
from stepml.ml.algorithms import AsynchronousAlgorithm
from stepml.ml.models.base import Floats
from storage import DurableStorage


def train_asynchronously(
    task: ExecutorTask,
    plan: TrainingPlan,
    algorithm: AsynchronousAlgorithm[Any],
    parameters: Floats,
    storage: DurableStorage,
    deadline: Deadline,
) -> None:
    """Make all of the rank's updates of an epoch that begins with ``parameters``.

    Raises
    ------
    ExecutorPausedError
        The deadline is near; what is made is in the shared model, the next call makes the rest.
    PeerFailedError
        Another rank has failed for good.
    AttemptStoppedError
        The execution has ended for which this function works.
    SharedModelLostError
        The channel has lost the shared model: the epoch has to be done again.
    """
    watch = Watch(task, storage, deadline)
    shared = open_shared(task, task.rank, plan, storage, watch)
    try:
        _train(task, plan, algorithm, parameters, storage, shared, watch)
    except AttemptStoppedError:
        # The last rank to leave clears what all have left; their keys are this attempt's own.
        with best_effort("clear the attempt", job_id=task.job_id, epoch=task.epoch):
            shared.abandon()
        raise


def _train(
    task: ExecutorTask,
    plan: TrainingPlan,
    algorithm: AsynchronousAlgorithm[Any],
    parameters: Floats,
    storage: DurableStorage,
    shared: SharedModelExchange,
    watch: Watch,
) -> None:
    shared.create(parameters, algorithm.n_totals)
    shard, model = load_shard(task.job_id, task.rank, plan, storage), plan.model()
    rank_epoch, y = plan.rank_epoch(task.epoch, task.rank), model.targets(shard.y)
    finished = algorithm.train(model, shard.X, y, rank_epoch, shared, watch.is_time_to_pause)
    if not finished:
        watch.pause(f"rank {task.rank} paused; its updates are in the shared model")

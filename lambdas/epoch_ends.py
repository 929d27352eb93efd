"""The state in which ranks end an epoch: merged from what they gave, or equal in all of them."""

from __future__ import annotations

from comm import Message, Orchestrated
from lambdas.exchanges import open_in_flight, open_kept, open_orchestrated
from lambdas.plans import TrainingPlan
from lambdas.snapshots import Snapshots
from lambdas.states import digest_of
from stepml.job import keys
from stepml.job.errors import (
    DamagedValueError,
    KeyNotFoundError,
    MissingContributionError,
    ReplicasDivergedError,
)
from stepml.job.step import Step
from stepml.job.tasks import ReducerTask
from stepml.ml.algorithms import InFlightAlgorithm, Progress, build_algorithm
from stepml.ml.models.base import Floats
from storage import DurableStorage


def state_at_end(
    task: ReducerTask, plan: TrainingPlan, storage: DurableStorage
) -> tuple[Floats, float]:
    """Return the parameters after ``task.epoch`` and its mean training loss."""
    algorithm = build_algorithm(plan.spec.algorithm)
    if isinstance(algorithm, InFlightAlgorithm):
        final = _equal_replica(task, plan, storage)
        return final.parameters, final.training_loss
    exchange = open_orchestrated(task.job_id, plan, storage)
    aggregate = _merged(exchange, Step(task.epoch))
    return algorithm.next_state(aggregate.vector, aggregate.trailer)


def release(task: ReducerTask, plan: TrainingPlan, storage: DurableStorage) -> None:
    """Delete what the ranks exchanged in ``task.epoch``, which nobody needs any more."""
    algorithm = build_algorithm(plan.spec.algorithm)
    if isinstance(algorithm, InFlightAlgorithm):
        batches = range(1, algorithm.n_batches(plan.shard_rows) + 1)
        exchange = open_in_flight(task.job_id, plan, 0, storage)
        exchange.forget(Step(task.epoch, batch) for batch in batches)
        exchange.close()
        Snapshots(storage, task.job_id, task.epoch).delete()
    else:
        open_orchestrated(task.job_id, plan, storage).release(Step(task.epoch))


def _merged(exchange: Orchestrated, step: Step) -> Message:
    if exchange.chunks == 1:
        return exchange.merge(step)
    try:
        return exchange.collect(step)
    except (KeyNotFoundError, DamagedValueError):  # the channel lost what was merged
        for chunk in range(exchange.chunks):
            exchange.merge(step, chunk)
        return exchange.collect(step)


def _equal_replica(task: ReducerTask, plan: TrainingPlan, storage: DurableStorage) -> Progress:
    """Return the last snapshot, which is what all ranks ended with."""
    snapshots = Snapshots(storage, task.job_id, task.epoch)
    final = snapshots.load()
    if final is None or not final.finished:
        raise MissingContributionError([0], f"the end of epoch {task.epoch}")
    digest = digest_of(final.parameters)
    others = sorted(result.rank for result in task.executors if result.digest != digest)
    if others:
        # Whatever was wrong is in what was exchanged: the epoch trains again from its start.
        prefix = keys.exchange_prefix(task.job_id, plan.run)
        channel = open_kept(plan.spec.exchange.channel, storage)
        channel.clear(keys.epoch_prefix(prefix, task.epoch))
        snapshots.delete()
        raise ReplicasDivergedError(
            f"epoch {task.epoch} ended with another state than the last snapshot in rank "
            f"{', '.join(map(str, others))}; it trains again"
        )
    return final

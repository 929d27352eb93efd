"""The state in which ranks end an epoch: merged from what they gave, or equal in all of them."""

from __future__ import annotations

from dataclasses import dataclass

from lambdas.exchanges import clear_epoch, open_in_flight, open_orchestrated, open_shared
from lambdas.fences import look_at_fences
from lambdas.logs import best_effort
from lambdas.plans import TrainingPlan
from lambdas.samples import load_sample
from lambdas.snapshots import Snapshots
from lambdas.states import digest_of, unpack_state
from stepml.job import keys
from stepml.job.errors import (
    MissingContributionError,
    ReplicasDivergedError,
    SharedModelLostError,
)
from stepml.job.step import Step
from stepml.job.tasks import ReducerTask
from stepml.ml.algorithms import (
    AsynchronousAlgorithm,
    InFlightAlgorithm,
    RankProgress,
    Residuals,
    State,
    build_algorithm,
)
from storage import DurableStorage


@dataclass(frozen=True, slots=True, eq=False)
class EpochEnd:
    """What an epoch ends with."""

    state: State
    training_loss: float  # mean over the epoch's batches
    converged: str | None = None  # why the algorithm says that it is at its end
    residuals: Residuals | None = None  # admm
    staleness_mean: float | None = None  # asynchronous: of all updates
    staleness_max: int | None = None
    lost_updates: int | None = None  # over a parameter server


def state_at_end(task: ReducerTask, plan: TrainingPlan, storage: DurableStorage) -> EpochEnd:
    """Return what ``task.epoch`` ends with."""
    algorithm = build_algorithm(plan.spec)
    if isinstance(algorithm, InFlightAlgorithm):
        final = _equal_replica(task, plan, storage)
        return EpochEnd(final.state, final.training_loss)
    if isinstance(algorithm, AsynchronousAlgorithm):
        return _shared(task, plan, algorithm.n_updates(plan.shard_rows), storage)
    exchange = open_orchestrated(task.job_id, plan, storage)
    aggregate = exchange.sum(Step(task.epoch))
    before_key = keys.state(task.job_id, task.epoch - 1)
    before = unpack_state(storage.load(before_key), before_key)
    outcome = algorithm.next_state(
        plan.model(),
        before,
        aggregate.vector,
        aggregate.trailer,
        plan.rank_epoch(task.epoch, rank=0),
        lambda: load_sample(task.job_id, plan, storage),
    )
    return EpochEnd(outcome.state, outcome.training_loss, outcome.converged, outcome.residuals)


def release(task: ReducerTask, plan: TrainingPlan, storage: DurableStorage) -> None:
    """Delete what the ranks exchanged in ``task.epoch``, which nobody needs any more."""
    algorithm = build_algorithm(plan.spec)
    if isinstance(algorithm, AsynchronousAlgorithm):
        open_shared(task, 0, plan, storage).release()
    elif isinstance(algorithm, InFlightAlgorithm):
        batches = range(1, algorithm.n_batches(plan.shard_rows) + 1)
        exchange = open_in_flight(task, 0, plan, storage)
        exchange.forget(Step(task.epoch, batch) for batch in batches)
        exchange.withdraw()
        Snapshots(storage, task.job_id, task.epoch).delete()
    else:
        open_orchestrated(task.job_id, plan, storage).release(Step(task.epoch))


def _shared(
    task: ReducerTask, plan: TrainingPlan, n_batches: int, storage: DurableStorage
) -> EpochEnd:
    shared = open_shared(task, 0, plan, storage)
    state, lost = shared.pull(), None
    behind = [rank for rank, last in enumerate(state.applied) if last < n_batches]
    if shared.has_lost_updates(state):
        # Ranks that have made all their updates make none again: the epoch ends without them.
        lost = state.lost + int((n_batches - state.applied).sum())
    elif behind:
        raise MissingContributionError(behind, f"the end of epoch {task.epoch}")
    loss_sum, rows_seen = state.totals
    if not rows_seen:
        raise SharedModelLostError(f"all updates of epoch {task.epoch} are lost")
    return EpochEnd(
        State(state.vector),
        float(loss_sum / rows_seen),
        staleness_mean=state.staleness_mean,
        staleness_max=state.staleness_max,
        lost_updates=lost,
    )


def _equal_replica(task: ReducerTask, plan: TrainingPlan, storage: DurableStorage) -> RankProgress:
    """Return the last snapshot, which is what all ranks ended with."""
    snapshots = Snapshots(storage, task.job_id, task.epoch)
    final = snapshots.load()
    if final is None or not final.finished:
        raise MissingContributionError([0], f"the end of epoch {task.epoch}")
    digest = digest_of(final.state)
    others = sorted(result.rank for result in task.executors if result.digest != digest)
    if others:
        # Whatever was wrong is in what was exchanged: the epoch trains again from its start. The
        # snapshot goes first: with it, all ranks of the next attempt would agree on its state.
        look_at_fences(task, storage)  # not under the feet of the next attempt
        snapshots.delete()
        with best_effort("clear the channel", job_id=task.job_id, epoch=task.epoch):
            clear_epoch(task.job_id, task.epoch, plan, storage)
        raise ReplicasDivergedError(
            f"epoch {task.epoch} ended with another state than the last snapshot in rank "
            f"{', '.join(map(str, others))}; it trains again"
        )
    return final

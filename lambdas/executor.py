"""Trains one rank for one epoch on its shard, and gives the others what it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from comm import Message
from lambdas.asynchronous import train_asynchronously
from lambdas.costs import Invocation
from lambdas.entry import handles
from lambdas.environment import Deadline, LambdaContext, durable, seconds_since
from lambdas.exchanges import open_orchestrated
from lambdas.failures import published_failure
from lambdas.fences import comes_too_late, fence_keys, require_not_stopped, was_redriven
from lambdas.logs import log
from lambdas.own_states import OwnStates
from lambdas.plans import TrainingPlan
from lambdas.replicas import Trained, train_replica
from lambdas.shards import load_shard
from lambdas.snapshots import whole_progress
from lambdas.states import pack_progress, unpack_state
from lambdas.watch import Watch
from stepml.job import keys
from stepml.job.documents import decode
from stepml.job.errors import KeyNotFoundError
from stepml.job.step import Step
from stepml.job.tasks import ExecutorResult, ExecutorTask
from stepml.ml.algorithms import (
    AsynchronousAlgorithm,
    Extras,
    InFlightAlgorithm,
    OrchestratedAlgorithm,
    RankProgress,
    State,
    build_algorithm,
)
from storage import DurableStorage


@handles(ExecutorTask)
def handler(task: ExecutorTask, context: LambdaContext) -> ExecutorResult:
    return execute(task, durable(), Deadline.of(context))


def execute(task: ExecutorTask, storage: DurableStorage, deadline: Deadline) -> ExecutorResult:
    """Train ``task.rank`` for ``task.epoch``; a rank that has contributed already is skipped.

    Raises
    ------
    ExecutorPausedError
        The deadline is near; the progress is saved, and the next call goes on from it.
    PeerFailedError
        Another rank has failed for good, and this one has to wait for it.
    AttemptStoppedError
        The execution has ended for which this function works.
    """
    invocation = Invocation.begin(storage)
    storage = invocation.storage
    with published_failure(task, storage):
        beginning = _begin(task, storage)
        if beginning is None:  # a late copy of a rank: its epoch is over
            return ExecutorResult(rank=task.rank, seconds=0, retries=task.retries)
        trained = _train(task, beginning, storage, deadline)
    seconds = invocation.seconds
    if (task.retries or beginning.was_paused) and not was_redriven(task.attempt):
        seconds = seconds_since(task.started_at)  # with what its earlier calls have taken
    what = "rank had contributed already" if trained.was_there else "rank trained"
    log(what, job_id=task.job_id, epoch=task.epoch, rank=task.rank, seconds=seconds)
    return ExecutorResult(
        rank=task.rank,
        seconds=round(seconds, 3),
        waited_seconds=round(trained.waited_s, 3),
        cost_usd=invocation.cost_usd(seconds),
        retries=task.retries,
        digest=trained.digest,
    )


@dataclass(frozen=True, slots=True)
class _Beginning:
    plan: TrainingPlan
    state: State  # of the epoch before
    mine: RankProgress | None  # of this rank, when it ran out of time
    everybodys: RankProgress | None  # the snapshot of an epoch that is exchanged in flight

    @property
    def was_paused(self) -> bool:
        """Whether this call goes on with what an earlier one began."""
        return self.mine is not None or self.everybodys is not None


def _begin(task: ExecutorTask, storage: DurableStorage) -> _Beginning | None:
    plan_key = keys.training_plan(task.job_id)
    state_key = keys.state(task.job_id, task.epoch - 1)
    report_key = keys.epoch_report(task.job_id, task.epoch)
    fences = fence_keys(task)
    mine_key = keys.progress(task.job_id, task.epoch, task.rank)
    snapshot_key = keys.snapshot(task.job_id, task.epoch)
    found = storage.load_many([plan_key, state_key, report_key, mine_key, snapshot_key, *fences])
    if report_key in found:
        return None
    require_not_stopped(task, found)
    if missing := [key for key in (plan_key, state_key) if key not in found]:
        raise KeyNotFoundError(f"nothing is stored under {missing[0]}")
    return _Beginning(
        decode(found[plan_key], TrainingPlan, plan_key),
        unpack_state(found[state_key], state_key),
        whole_progress(found.get(mine_key)),
        whole_progress(found.get(snapshot_key)),
    )


def _train(
    task: ExecutorTask, beginning: _Beginning, storage: DurableStorage, deadline: Deadline
) -> Trained:
    plan = beginning.plan
    algorithm = build_algorithm(plan.spec)
    if isinstance(algorithm, InFlightAlgorithm):
        state = beginning.state
        start = beginning.everybodys or RankProgress(state.parameters, extras=state.extras)
        return train_replica(task, plan, algorithm, start, storage, deadline)
    if isinstance(algorithm, AsynchronousAlgorithm):
        train_asynchronously(task, plan, algorithm, beginning.state.parameters, storage, deadline)
        return Trained()
    watch = Watch(task, storage, deadline, needs_peers=False)
    exchange = open_orchestrated(task.job_id, plan, storage, watch.look_now_and_then)
    step = Step(task.epoch)
    there = exchange.has_contributed(step, task.rank)
    if not there:
        rank_state = _ended(task, beginning, algorithm, storage, watch)
        vector, trailer = algorithm.contribution(rank_state, plan.rank_epoch(task.epoch, task.rank))
        watch.look()  # what an attempt gives that is over would be left lying in the channel
        exchange.contribute(step, task.rank, Message(vector, trailer))
        if comes_too_late(task, task.epoch, storage):
            exchange.withdraw(step, task.rank)
    return Trained(was_there=there)


def _ended(
    task: ExecutorTask,
    beginning: _Beginning,
    algorithm: OrchestratedAlgorithm[Any],
    storage: DurableStorage,
    watch: Watch,
) -> Extras:
    """Return what the rank ends the epoch with; of several copies of it, what the first one had."""
    if not algorithm.keeps_rank_state:
        return algorithm.rank_result(_train_alone(task, beginning, algorithm, {}, storage, watch))
    states = OwnStates(storage, task.job_id, task.rank)
    done = states.find(task.epoch)
    if done is not None:
        return done
    before = task.epoch - 1
    rank_state = states.load(before) if before > beginning.plan.own_states_after else {}
    progress = _train_alone(task, beginning, algorithm, rank_state, storage, watch)
    return states.publish(task.epoch, algorithm.rank_result(progress))


def _train_alone(
    task: ExecutorTask,
    beginning: _Beginning,
    algorithm: OrchestratedAlgorithm[Any],
    rank_state: Extras,
    storage: DurableStorage,
    watch: Watch,
) -> RankProgress:
    plan, rank_epoch = beginning.plan, beginning.plan.rank_epoch(task.epoch, task.rank)
    shard, model = load_shard(task.job_id, task.rank, plan, storage), plan.model()
    start = beginning.mine or algorithm.begin(model, beginning.state, rank_state, rank_epoch)
    y = model.targets(shard.y)
    progress = algorithm.train(model, start, shard.X, y, rank_epoch, watch.is_time_to_pause)
    if not progress.finished:
        key = keys.progress(task.job_id, task.epoch, task.rank)
        storage.save(key, pack_progress(progress))
        if storage.find_many([keys.epoch_report(task.job_id, task.epoch)]):
            storage.delete(key)  # a late copy: the epoch is over, and cleared
        watch.pause(
            f"rank {task.rank} saved its progress after {progress.batches_done} batches "
            f"of epoch {task.epoch}"
        )
    return progress

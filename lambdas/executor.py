"""Trains one rank for one epoch on its shard, and contributes the result."""

from __future__ import annotations

import time

from comm.wire import Message
from lambdas.documents import decode
from lambdas.entry import handles
from lambdas.environment import Deadline, LambdaContext, durable
from lambdas.exchanges import open_exchange
from lambdas.logs import log
from lambdas.plans import TrainingPlan
from lambdas.shards import load_shard
from lambdas.states import pack_progress, unpack_progress, unpack_state
from stepml.job import keys
from stepml.job.errors import DamagedValueError, ExecutorPausedError, KeyNotFoundError
from stepml.job.step import Step
from stepml.job.tasks import ExecutorResult, ExecutorTask
from stepml.ml.algorithms import Progress, build_algorithm
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
    """
    began = time.monotonic()
    start = _begin(task, storage)
    if start is None:  # a late copy of a rank: its epoch is over
        return ExecutorResult(rank=task.rank, seconds=0)
    plan, progress = start
    exchange = open_exchange(task.job_id, plan, storage)
    step = Step(task.epoch)
    if not exchange.has_contributed(step, task.rank):
        progress = _train(task, plan, progress, storage, deadline)
        algorithm = build_algorithm(plan.spec.algorithm)
        vector, trailer = algorithm.contribution(progress, plan.weight(task.rank))
        exchange.contribute(step, task.rank, Message(vector, trailer))
    seconds = round(time.monotonic() - began, 6)
    log("rank trained", job_id=task.job_id, epoch=task.epoch, rank=task.rank, seconds=seconds)
    return ExecutorResult(rank=task.rank, seconds=seconds)


def _begin(task: ExecutorTask, storage: DurableStorage) -> tuple[TrainingPlan, Progress] | None:
    plan_key = keys.training_plan(task.job_id)
    state_key = keys.state(task.job_id, task.epoch - 1)
    progress_key = keys.progress(task.job_id, task.epoch, task.rank)
    report_key = keys.epoch_report(task.job_id, task.epoch)
    found = storage.load_many([plan_key, state_key, progress_key, report_key])
    if report_key in found:
        return None
    if missing := [key for key in (plan_key, state_key) if key not in found]:
        raise KeyNotFoundError(f"nothing is stored under {missing[0]}")
    plan = decode(found[plan_key], TrainingPlan, plan_key)
    beginning = Progress(unpack_state(found[state_key]))
    try:
        saved = unpack_progress(found[progress_key]) if progress_key in found else None
    except DamagedValueError:  # saved again at the next pause; without it, only time is lost
        saved = None
    return plan, saved or beginning


def _train(
    task: ExecutorTask,
    plan: TrainingPlan,
    progress: Progress,
    storage: DurableStorage,
    deadline: Deadline,
) -> Progress:
    shard = load_shard(task.job_id, task.rank, plan, storage)
    model = plan.model()
    progress = build_algorithm(plan.spec.algorithm).train(
        model,
        progress,
        shard.X,
        model.targets(shard.y),
        seed=(plan.spec.data.seed, task.epoch, task.rank),
        must_pause=deadline.is_near,
    )
    if not progress.finished:
        key = keys.progress(task.job_id, task.epoch, task.rank)
        storage.save(key, pack_progress(progress))
        raise ExecutorPausedError(
            f"rank {task.rank} saved its progress after {progress.batches_done} batches "
            f"of epoch {task.epoch}"
        )
    return progress

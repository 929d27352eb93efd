"""Trains one rank for one epoch on its shard, and exchanges with the others.

A function that has trained a network also evaluates it: it is warm, and has the libraries.
"""

from __future__ import annotations

from typing import Any

from lambdas.attempts.costs import Invocation
from lambdas.attempts.failures import published_failure
from lambdas.attempts.fences import Fences, was_redriven
from lambdas.attempts.timing import STANDARD, Timing
from lambdas.attempts.turns import Turns
from lambdas.entry import handles
from lambdas.environment import Deadline, LambdaContext, durable, seconds_since
from lambdas.epochs import RankRun, epochs_of
from lambdas.epochs.base import Trained
from lambdas.epochs.rank_times import RankTimes
from lambdas.epochs.slices import evaluate_slice
from lambdas.job_store import JobStore
from lambdas.job_store.code import ready_code
from lambdas.logs import log
from stepml.job.packed_times import pack_times
from stepml.job.parts import FunctionTimes
from stepml.job.stopwatch import timed
from stepml.job.tasks import EvaluationTask, ExecutorResult, ExecutorTask
from storage import DurableStorage


@handles(ExecutorTask)
def train(task: ExecutorTask, context: LambdaContext) -> ExecutorResult:
    return execute(task, durable(), Deadline.of(context))


@handles(EvaluationTask)
def evaluate(task: EvaluationTask, context: LambdaContext) -> None:
    evaluate_epoch(task, durable(), Deadline.of(context))


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Do the task of an event, which is of one of two kinds."""
    return (evaluate if "slice" in event else train)(event, context)


def evaluate_epoch(task: EvaluationTask, storage: DurableStorage, deadline: Deadline) -> None:
    """Publish the quality of ``task.epoch`` on one slice of the validation rows.

    Raises
    ------
    ExecutorPausedError
        The deadline is near; the next call continues.
    AttemptStoppedError
        The execution has ended.
    """
    invocation = Invocation.begin(storage, task)
    store = JobStore(invocation.storage, task.job_id)
    with invocation.measured(), published_failure(store, task):
        Fences(store, task).look()
        with timed("load"):
            plan = store.training_plan.load()
            ready_code(store.storage, plan.code)
        evaluate_slice(task, store, plan, invocation, deadline.must_save)
    log("slice evaluated", job_id=task.job_id, epoch=task.epoch, slice=task.slice)


def execute(
    task: ExecutorTask, storage: DurableStorage, deadline: Deadline, timing: Timing = STANDARD
) -> ExecutorResult:
    """Train ``task.rank`` for ``task.epoch``; a rank that has contributed already is skipped.

    Raises
    ------
    ExecutorPausedError
        The deadline is near; the progress is saved, and the next call continues from it.
    WaitTimeoutError
        Other ranks did not come; the next call continues, as they may lack this very function.
    PeerFailedError
        Another rank, for which this one would wait, has failed for good.
    AttemptStoppedError
        The execution has ended.
    """
    invocation = Invocation.begin(storage, task)
    store = JobStore(invocation.storage, task.job_id)
    with invocation.measured(), published_failure(store, task):
        run = _begun(task, store, deadline, timing)
        if run is None:  # a late copy of a rank: its epoch is over
            return ExecutorResult(rank=task.rank, seconds=0, retries=task.retries)
        epochs = epochs_of(run.plan.spec)
        if task.retries and epochs.waits_for_all:
            Turns(store.storage, store.job_id).require()
        times = RankTimes(invocation, run)
        with times.kept_if_called_again():
            trained = epochs.train(run)
    seconds = invocation.seconds
    if (task.retries or run.was_paused) and not was_redriven(task.attempt):
        seconds = seconds_since(task.started_at)  # with the time of its earlier calls
    cost_usd = invocation.cost_usd()
    measured = times.of_all_calls(cost_usd)
    _log_end(task, trained, measured, seconds)
    return ExecutorResult(
        rank=task.rank,
        seconds=round(seconds, 3),
        waited_seconds=round(trained.waited_s, 3),
        cost_usd=cost_usd,
        retries=task.retries,
        digest=trained.digest,
        times=pack_times(measured, run.plan.spec.exchange.channel),
    )


def _begun(
    task: ExecutorTask, store: JobStore, deadline: Deadline, timing: Timing
) -> RankRun | None:
    with timed("load"):
        run = RankRun.begin(task, store, deadline, timing)
        if run is not None:
            ready_code(store.storage, run.plan.code)
    return run


def _log_end(task: ExecutorTask, trained: Trained, times: FunctionTimes, seconds: float) -> None:
    sent = sum(each.sent_bytes for each in times.traffic.values())
    received = sum(each.received_bytes for each in times.traffic.values())
    log(
        "rank had contributed already" if trained.was_done else "rank trained",
        job_id=task.job_id,
        epoch=task.epoch,
        rank=task.rank,
        seconds=round(seconds, 3),
        **({} if trained.loss is None else {"loss": trained.loss}),
        wait=round(times.parts.wait, 3),
        sent_bytes=sent,
        received_bytes=received,
    )

"""Ends an epoch: merges the contributions, evaluates the new state and decides."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lambdas.attempts.costs import Invocation
from lambdas.attempts.failures import published_failure
from lambdas.entry import handles
from lambdas.environment import LambdaContext, durable
from lambdas.epochs import EpochRun, Epochs, epochs_of
from lambdas.epochs.base import EpochEnd
from lambdas.epochs.reports import build_report, evaluate
from lambdas.epochs.slices import Slices, end_of_merged, load_slices, publish_merged
from lambdas.job_store import JobStore
from lambdas.job_store.code import ready_code
from lambdas.logs import best_effort, log
from lambdas.metrics import measure
from stepml.job.errors import StorageError
from stepml.job.reports import EpochReport
from stepml.job.stopwatch import timed
from stepml.job.tasks import ReducerTask
from stepml.ml.convergence import require_finite_losses, require_finite_parameters
from storage import DurableStorage


@handles(ReducerTask)
def handler(task: ReducerTask, context: LambdaContext) -> EpochReport | None:
    if task.n_slices:
        merge_epoch(task, durable())
        return None
    return reduce_epoch(task, durable()).without_functions()


def merge_epoch(task: ReducerTask, storage: DurableStorage) -> None:
    """Publish the state of ``task.epoch``, which other functions evaluate; if done before, return.

    Errors as of `reduce_epoch`.
    """
    invocation = Invocation.begin(storage, task)
    store = JobStore(invocation.storage, task.job_id)
    with invocation.measured(), published_failure(store, task):
        run = _run(task, store)
        if store.merged_epoch(task.epoch).find_whole():
            return
        try:
            end = _merged(run, epochs_of(run.plan.spec))
        except StorageError:  # as in `_reduced_by_any_copy`
            if not store.merged_epoch(task.epoch).find_whole():
                raise
            return
        publish_merged(run, end, invocation)
    log("epoch merged", job_id=task.job_id, epoch=task.epoch)


def reduce_epoch(task: ReducerTask, storage: DurableStorage) -> EpochReport:
    """Publish state and report of ``task.epoch``; if done before, return the report.

    Raises
    ------
    MissingContributionError, DamagedValueError
        The channel lost something: the epoch has to be trained again.
    ReplicasDivergedError
        Ranks that trained in flight ended with different states: likewise.
    TrainingDivergedError
        The loss is not finite.
    AttemptStoppedError
        The execution has ended.
    """
    invocation = Invocation.begin(storage, task)
    store = JobStore(invocation.storage, task.job_id)
    with invocation.measured(), published_failure(store, task):
        run = _run(task, store)
        epochs, report = epochs_of(run.plan.spec), store.report(task.epoch).find()
        if report is None:
            report = _reduced_by_any_copy(run, epochs, invocation)
    with best_effort("delete what was exchanged", job_id=task.job_id, epoch=task.epoch):
        epochs.release(run)
    seconds = round(invocation.seconds, 3)
    log("epoch reduced", job_id=task.job_id, epoch=task.epoch, seconds=seconds, loss=report.loss)
    return report


def _run(task: ReducerTask, store: JobStore) -> EpochRun:
    with timed("load"):
        plan = store.training_plan.load()
        ready_code(store.storage, plan.code)
        return EpochRun(task, plan, store)


def _reduced_by_any_copy(run: EpochRun, epochs: Epochs[Any], invocation: Invocation) -> EpochReport:
    try:
        return _reduced(run, epochs, invocation)
    except StorageError:
        # Another copy may have reduced the epoch meanwhile, and cleared what this one misses.
        report = run.store.report(run.task.epoch).find()
        if report is None:
            raise
        return report


def _reduced(run: EpochRun, epochs: Epochs[Any], invocation: Invocation) -> EpochReport:
    spec, epoch = run.plan.spec, run.task.epoch
    if spec.model.is_evaluated_apart:
        with timed("load"):
            merged = run.store.merged_epoch(epoch).load()
            end, slices = end_of_merged(run, merged), load_slices(run, merged)
    else:
        end = _merged(run, epochs)
        slices = Slices(evaluate(run.store, run.plan, end.state.parameters), [], [])
    loss, training_loss = slices.evaluation.loss, end.training_loss * run.plan.model().loss_unit
    require_finite_losses(spec, epoch, validation=loss, training=training_loss)
    report = build_report(run, end, slices, epochs, invocation)
    published = run.store.report(epoch).publish(report)
    if published == report:  # otherwise another copy has measured
        _measure(run, report)
    return published


def _measure(run: EpochRun, report: EpochReport) -> None:
    is_first = report.epoch == run.plan.resumed_epochs + 1
    before_usd = run.plan.preparation_usd if is_first else 0.0
    measure(
        run.task.job_id,
        EpochSeconds=report.seconds,
        Loss=report.loss,
        CostUsd=report.cost_usd + before_usd,
    )


def _merged(run: EpochRun, epochs: Epochs[Any]) -> EpochEnd:
    """Publish the state with which the epoch ends, and return the end with the one that counts."""
    run.fences.look()
    end = epochs.end(run)
    require_finite_parameters(run.plan.spec, run.task.epoch, end.state.parameters)
    run.fences.look()  # merging may have taken a while
    with timed("transfer"):
        return replace(end, state=run.store.state(run.task.epoch).publish(end.state))

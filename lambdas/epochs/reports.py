"""The report of an epoch: the quality of the state, the costs, and the decision."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from lambdas.attempts.costs import EpochBill, Invocation, epoch_bill, final_usd
from lambdas.attempts.stragglers import attempt_seconds, find_stragglers, with_times
from lambdas.attempts.times import times_of
from lambdas.epochs.base import EpochEnd, Epochs
from lambdas.epochs.functions import Measured
from lambdas.epochs.runs import EpochRun
from lambdas.epochs.slices import Slices
from lambdas.job_store import JobStore, TrainingPlan
from lambdas.job_store.shards import load_shard
from stepml.job import keys
from stepml.job.parts import MOST_RANKS_LISTED
from stepml.job.prices import PUT_USD
from stepml.job.reports import EpochReport
from stepml.job.stopwatch import timed
from stepml.ml.algorithms import Residuals
from stepml.ml.convergence import OwnCriterion, Spent, decide, spent_with
from stepml.ml.models import Evaluation
from stepml.ml.models.base import Floats
from stepml.ml.models.row_weights import targets_on
from stepml.ml.standing import Standing
from stepml.ml.stopping import converged_at_start


def evaluate(
    store: JobStore, plan: TrainingPlan, parameters: Floats, most_rows: int | None = None
) -> Evaluation:
    """Return loss and metrics of ``parameters`` on the first validation rows, or on all."""
    shard, model = load_shard(store, plan, keys.VALIDATION), plan.model()
    rows = slice(most_rows)
    with timed("compute"):
        found = model.evaluate(parameters, shard.X[rows], targets_on(model, shard, rows))
    # JSON has no infinite numbers, to which squares of huge errors may add up.
    metrics = {name: value for name, value in found.metrics.items() if math.isfinite(value)}
    return replace(found, metrics=metrics)


def build_report(
    run: EpochRun, end: EpochEnd, slices: Slices, epochs: Epochs[Any], invocation: Invocation
) -> EpochReport:
    """Return the report of an epoch.

    Parameters
    ----------
    run : EpochRun
    end : EpochEnd
    slices : Slices
        The quality of the new state.
    epochs : Epochs
        Of the job.
    invocation : Invocation
        Of the reducer, for its time and cost.
    """
    task, evaluation = run.task, slices.evaluation
    with timed("load"):
        previous = run.store.report(task.epoch - 1).load() if task.epoch > 1 else None
    measured, bill = _bill(run, slices, len(epochs.chunks), invocation)
    spent = _spent(run, previous, bill, invocation)
    stop = run.plan.spec.stop
    standing = Standing.of(stop, evaluation, previous, lambda: run.store.reports(task.epoch - 1))
    converged = end.converged or converged_at_start(stop, task.epoch, run.plan.start_fall)
    own = OwnCriterion(converged, end.lacks)
    verdict = decide(stop, task.epoch, evaluation.loss, previous, own, spent, standing)
    waits = epochs.algorithm.waits_within_epochs
    by_rank = with_times(task.executors, measured.ranks, waits=waits)
    return EpochReport(
        epoch=task.epoch,
        decision=verdict.decision,
        reason=verdict.reason,
        next_epoch=task.epoch + 1,
        loss=evaluation.loss,
        metrics=evaluation.metrics,
        training_loss=end.training_loss * run.plan.model().loss_unit,
        best_loss=verdict.best_loss,
        measure=stop.metric,
        best_value=verdict.best_value,
        epochs_without_improvement=verdict.epochs_without_improvement,
        seconds=spent.epoch_seconds,
        active_seconds=spent.seconds,
        cost_usd=spent.epoch_cost_usd,
        total_cost_usd=spent.cost_usd,
        stragglers=find_stragglers(by_rank),
        called_again=[result.rank for result in by_rank if result.retries],
        executor_seconds=[result.seconds for result in by_rank],
        staleness_mean=end.staleness_mean,
        staleness_max=end.staleness_max,
        lost_updates=end.lost_updates,
        empty_clusters=end.empty_clusters,
        **_residual_fields(end.residuals),
        **measured.fields(bill),
    )


def _bill(
    run: EpochRun, slices: Slices, n_chunks: int, invocation: Invocation
) -> tuple[Measured, EpochBill]:
    """Return the times of all functions, and the cost; many times are written beside the report."""
    task = run.task
    # The report is written once its cost is known, and so are the times.
    n_puts = 1 + (len(task.executors) > MOST_RANKS_LISTED)
    reducer_usd = invocation.cost_usd(n_puts * PUT_USD)
    reducer = times_of(invocation, task, "reducer", 0, reducer_usd)
    measured = Measured.of(task, slices, reducer, run.plan.spec.exchange.channel)
    if measured.are_many:
        run.store.save_functions(task.epoch, measured.lines())
    usd = reducer_usd + slices.merging_usd
    return measured, epoch_bill(task, usd, n_chunks, slices.costs_usd)


def _spent(
    run: EpochRun, previous: EpochReport | None, bill: EpochBill, invocation: Invocation
) -> Spent:
    task, plan = run.task, run.plan
    before_usd = plan.preparation_usd if task.epoch == plan.resumed_epochs + 1 else 0.0
    seconds = attempt_seconds(task, invocation.seconds)
    spent = spent_with(previous, seconds, bill.total_usd, before_usd)
    return replace(spent, final_usd=final_usd(task.epoch))


def _residual_fields(residuals: Residuals | None) -> dict[str, Any]:
    if residuals is None:
        return {}
    return {
        "primal_residual": residuals.primal,
        "primal_tolerance": residuals.primal_tolerance,
        "dual_residual": residuals.dual,
        "dual_tolerance": residuals.dual_tolerance,
        "objective_fall": residuals.fall,
        "objective_fall_tolerance": residuals.fall_tolerance,
    }

"""Writes the model artifact and the job's report, and clears the ranks' values."""

from __future__ import annotations

import os

import msgspec

from lambdas.attempts.costs import DIGITS, Invocation, clearing_usd
from lambdas.attempts.transitions import FINAL_STATES
from lambdas.attempts.turns import Turns
from lambdas.channels import channel_of
from lambdas.entry import handles
from lambdas.environment import LambdaContext, durable
from lambdas.job_store import JobStore, TrainingPlan
from lambdas.job_store.code import ready_code
from lambdas.job_store.rank_states import delete_rank_states_before
from lambdas.job_store.results import build_job_report, trained_model
from lambdas.logs import best_effort, log
from lambdas.metrics import measure
from stepml.job.prices import TRANSITION_USD
from stepml.job.reports import JobReport
from stepml.job.tasks import FinaliseTask
from stepml.ml.doubts import require_no_doubts
from storage import DurableStorage
from storage.factory import BUCKET_VARIABLE

SERVERS_VARIABLE = "STEPML_SERVERS_USD"  # an hour; set by templates/template.yaml
MOST_FUNCTIONS = 10_000  # of which history.jsonl has the times: some 3 MB
HISTORY_IN_OUTPUT = 10  # epochs: an execution's output holds at most 256 KiB


@handles(FinaliseTask)
def handler(task: FinaliseTask, context: LambdaContext) -> JobReport:
    hourly_usd = float(os.environ.get(SERVERS_VARIABLE) or 0)
    report = finalise(task, durable(), os.environ[BUCKET_VARIABLE], hourly_usd)
    return msgspec.structs.replace(
        report, history=report.history[-HISTORY_IN_OUTPUT:], per_class=[], confusion_matrix=[]
    )


def finalise(
    task: FinaliseTask, storage: DurableStorage, bucket: str, hourly_usd: float = 0.0
) -> JobReport:
    """Write model and report, and return the report; if done before, return that one.

    ``hourly_usd`` is the price of the deployment's servers.

    Raises
    ------
    DoubtfulResultError
        The job is strict, and its report has warnings.
    """
    invocation = Invocation.begin(storage, task)
    store = JobStore(invocation.storage, task.job_id)
    plan = store.training_plan.load()
    report = store.job_report.find()
    if report is None:
        report = _written(task, store, plan, bucket)
        report = store.job_report.publish(_with_bill(report, invocation, hourly_usd))
        measure(task.job_id, CostUsd=report.cost_usd - report.history[-1].total_cost_usd)
    _clear(task, store, plan)
    log("job finished", job_id=task.job_id, decision=report.decision, loss=report.loss)
    require_no_doubts(plan.spec, report.warnings, f"; the model is {report.model_uri}")
    return report


def _written(task: FinaliseTask, store: JobStore, plan: TrainingPlan, bucket: str) -> JobReport:
    ready_code(store.storage, plan.code)
    reports = store.reports(task.epoch, MOST_FUNCTIONS)
    report = build_job_report(store, plan, bucket, [each.without_functions() for each in reports])
    store.save_model(*trained_model(store, plan, report).pack())
    store.save_history(reports)
    return report


def _with_bill(report: JobReport, invocation: Invocation, hourly_usd: float) -> JobReport:
    own_usd = invocation.cost_usd(clearing_usd(report.spec.exchange.channel))
    total_usd = report.history[-1].total_cost_usd + own_usd + FINAL_STATES * TRANSITION_USD
    return msgspec.structs.replace(
        report,
        cost_usd=round(total_usd, DIGITS),
        servers_usd=round(hourly_usd * report.seconds / 3600, DIGITS),
    )


def _clear(task: FinaliseTask, store: JobStore, plan: TrainingPlan) -> None:
    """Delete the values of training; the records of failures stay for the user."""
    store.clear_progress()
    delete_rank_states_before(store, task.epoch)
    store.clear_snapshots()
    store.clear_shared_model_marks()
    store.end_report.delete()  # of an earlier execution
    with best_effort("clear the channel", job_id=task.job_id):  # what is left expires
        channel_of(store, plan).clear()
    with best_effort("give back the turn", job_id=task.job_id):  # it ends by itself
        Turns(store.storage, store.job_id).end()

"""Tidies up after an execution that has ended without a result: fence first, then the channel.

Called by EventBridge, as no state runs any more: at least once, and perhaps late. Everything can
be repeated. A late notice about a job that has been continued stops nothing of it; but the channel
may lose what the ranks have exchanged, as it may at any time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from lambdas.attempts.ended import EndedExecution
from lambdas.attempts.fences import moment, raise_fence
from lambdas.attempts.timing import STANDARD
from lambdas.attempts.turns import Turns
from lambdas.channels import channel_of
from lambdas.environment import LambdaContext, durable
from lambdas.epochs import epochs_of
from lambdas.job_store import JobStore, PartitionPlan
from lambdas.job_store.retention import retained_for_redrive
from lambdas.logs import best_effort, log
from stepml.job.reports import EndReport
from stepml.job.tasks import Continued
from storage import DurableStorage
from storage.factory import BUCKET_VARIABLE

_STOPPED = "ABORTED"
# Values that ranks publish in flight until then are cleared with the rest; ranks withdraw those
# that they publish later, in a step that takes longer.
SETTLING_S = 1.5 * STANDARD.watch_interval_s
_SAME_START_S = 1.0  # the notice and the state machine may round a start differently


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    ended = EndedExecution.of_notice(event)
    clean_up(ended, durable(), os.environ[BUCKET_VARIABLE], lambda: time.sleep(SETTLING_S))
    return {}


def clean_up(
    ended: EndedExecution, storage: DurableStorage, bucket: str, settle: Callable[[], None]
) -> None:
    """Fence the functions of the execution; if it was a job's, clear its channel and report.

    ``settle`` is called between the two, and gives functions time to see the fence.
    """
    given = ended.input_document
    if (continued := Continued.of_input(given)) is not None:
        log("continuation ended", job_id=continued.job_id, execution=ended.name)
        return  # the execution that started it ends with it
    if "job_id" in given:
        _end_attempt(JobStore(storage, str(given["job_id"])), given.get("run"), ended)
        return
    store = JobStore(storage, ended.name)
    if _owns(ended, store):
        raise_fence(store.fence, ended.fence)
        log("job fenced", job_id=ended.name, status=ended.status)
        settle()
        _end_job(store, ended, bucket)


def _end_attempt(store: JobStore, run: object, ended: EndedExecution) -> None:
    """Fence one attempt at an epoch; other attempts, and what all share, are left alone."""
    plan = store.partition_plan.find()
    if plan is None or plan.run != run:
        return
    raise_fence(store.attempt_fence(ended.attempt), ended.fence)
    if epochs_of(plan.spec).is_per_attempt:
        with best_effort("clear the attempt", job_id=store.job_id, attempt=ended.attempt):
            channel_of(store, plan).clear_attempt(ended.attempt)
    log("attempt fenced", job_id=store.job_id, attempt=ended.attempt, status=ended.status)


def _owns(ended: EndedExecution, store: JobStore) -> bool:
    """Return whether the execution is the one that began the job.

    The name alone does not tell: names return, and a job that was refused because its name is
    taken must not stop the job that has it.
    """
    claim = store.claim.find()
    if claim is None or claim.execution_arn != ended.execution_arn:
        return False
    apart_s = abs(moment(claim.started_at).timestamp() - ended.start_date / 1000)
    if apart_s > _SAME_START_S:
        log("another run of this name", job_id=ended.name, seconds_apart=apart_s)
    return apart_s <= _SAME_START_S


def _end_job(store: JobStore, ended: EndedExecution, bucket: str) -> None:
    if store.job_report.exists():
        return  # it has succeeded since
    plan = store.partition_plan.find()
    keeps = False
    with best_effort("give back the turn", job_id=store.job_id):
        Turns(store.storage, store.job_id).end()
    if plan is not None:
        keeps = ended.status != _STOPPED and epochs_of(plan.spec).keeps_contributions
        with best_effort("clear the channel", job_id=store.job_id):
            _clear_channel(store, plan, keeps_contributions=keeps)
    report = EndReport(
        job_id=store.job_id,
        execution_arn=ended.execution_arn,
        status=ended.status,
        error=ended.error or "",
        cause=(ended.cause or "")[:1000],
        stopped_at=ended.stopped_at,
        epochs=store.finished_epochs(),
        kept=retained_for_redrive(store.job_id, bucket),
        contributions=keeps,
    )
    store.end_report.save(report)
    if store.job_report.exists():  # clearing may have taken a while
        store.end_report.delete()
    log("job ended", job_id=store.job_id, status=ended.status, epochs=report.epochs)


def _clear_channel(store: JobStore, plan: PartitionPlan, *, keeps_contributions: bool) -> None:
    """Delete the exchanged values; contributions of finished ranks may stay for a redrive."""
    channel = channel_of(store, plan)
    if keeps_contributions:
        channel.keep_contributions(store.finished_epochs() + 1)
    else:
        channel.clear()

"""Tidies up after an execution that has ended without a result: fence first, then the channel.

Called by EventBridge, as no state runs any more: perhaps late, perhaps more than once, and, as its
delivery is best effort, perhaps never. `stepml stop` writes the fence, too, and exchanged values
expire. Everything can be repeated; an event that fails three times is kept in a queue. A late
notice about a job that has been redriven since stops nothing of it, and deletes nothing that it has
written. If the job's objects are lost, the execution's input names its channel.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lambdas.attempts.ended import EndedExecution
from lambdas.attempts.fences import goes_on, moment, raise_fence
from lambdas.attempts.timing import STANDARD
from lambdas.attempts.turns import Turns
from lambdas.channels import Plan, channel_of
from lambdas.environment import LambdaContext, durable
from lambdas.epochs import epochs_of
from lambdas.job_store import Claim, JobStore
from lambdas.job_store.retention import retained_for_redrive
from lambdas.logs import best_effort, log
from stepml.job.channels import configured_channels, refuse_unconfigured
from stepml.job.errors import InvalidJobError
from stepml.job.parse import parse_job
from stepml.job.reports import EndReport
from stepml.job.spec import JobSpec
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
    claim = store.claim.find_whole()
    if claim is None:
        _clear_lost(ended, store, settle)
    elif _owns(ended, claim):
        raise_fence(store.fence, ended.fence)
        log("job fenced", job_id=ended.name, status=ended.status)
        settle()
        _end_job(store, ended, claim, bucket)


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


def _owns(ended: EndedExecution, claim: Claim) -> bool:
    """Return whether the execution is the one that began the job.

    The name alone does not tell: names return, and a job that was refused because its name is
    taken must not stop the job that has it.
    """
    if claim.execution_arn != ended.execution_arn:
        return False
    apart_s = abs(moment(claim.started_at).timestamp() - ended.start_date / 1000)
    if apart_s > _SAME_START_S:
        log("another run of this name", job_id=ended.name, seconds_apart=apart_s)
    return apart_s <= _SAME_START_S


def _clear_lost(ended: EndedExecution, store: JobStore, settle: Callable[[], None]) -> None:
    """Clear the channel of a job whose own objects are lost, as the execution's input names it."""
    spec = None if ended.was_refused else _spec_in(ended)
    if spec is None:
        return
    with best_effort("fence the job", job_id=store.job_id):
        raise_fence(store.fence, ended.fence)
    settle()
    for started_at in ended.possible_starts:
        run = Claim(ended.execution_arn, started_at).run
        with best_effort("clear the channel", job_id=store.job_id):
            channel_of(store, _Exchange(spec, run)).clear()
    log("channel of a lost job cleared", job_id=store.job_id, channel=spec.exchange.channel)


def _end_job(store: JobStore, ended: EndedExecution, claim: Claim, bucket: str) -> None:
    if store.job_report.exists():
        return  # it has succeeded since
    if goes_on(store, ended.stopped_at):
        log("job goes on", job_id=store.job_id)
        return
    with best_effort("give back the turn", job_id=store.job_id):
        Turns(store.storage, store.job_id).end()
    exchange = _exchange_of(store, ended, claim)
    keeps = False
    if exchange is not None:
        keeps = ended.status != _STOPPED and epochs_of(exchange.spec).keeps_contributions
        with best_effort("clear the channel", job_id=store.job_id):
            _clear_channel(store, exchange, ended, keeps_contributions=keeps)
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
    if store.job_report.exists() or goes_on(store, ended.stopped_at):  # clearing takes a while
        store.end_report.delete()
    log("job ended", job_id=store.job_id, status=ended.status, epochs=report.epochs)


def _clear_channel(
    store: JobStore, exchange: Plan, ended: EndedExecution, *, keeps_contributions: bool
) -> None:
    """Delete the exchanged values; contributions of finished ranks may stay for a redrive."""
    channel = channel_of(store, exchange)

    def is_used() -> bool:
        return goes_on(store, ended.stopped_at)

    if keeps_contributions:
        channel.keep_contributions(store.finished_epochs() + 1, is_used)
    else:
        channel.clear(is_used)


@dataclass(frozen=True, slots=True)
class _Exchange:
    """The exchange of a job whose plan is lost."""

    spec: JobSpec
    run: str


def _exchange_of(store: JobStore, ended: EndedExecution, claim: Claim) -> Plan | None:
    plan = store.partition_plan.find_whole()
    if plan is not None:
        return plan
    spec = _spec_in(ended)
    return None if spec is None else _Exchange(spec, claim.run)


def _spec_in(ended: EndedExecution) -> JobSpec | None:
    """Return the job in the execution's input, or None if this deployment could not run it."""
    try:
        spec = parse_job(ended.input_document)
        refuse_unconfigured(spec.exchange.channel, configured_channels())
    except InvalidJobError:
        return None
    return spec

"""Tidies up behind an execution that has ended without a result: fence first, then the channel.

Called by EventBridge, as no state runs any more, at least once and perhaps late. What it does can
be done again. A notice about a job that goes on by now stops nothing of it; but the channel may
lose what the ranks have exchanged, as it may at any time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from lambdas.documents import Documents
from lambdas.environment import LambdaContext, durable
from lambdas.exchanges import clear_attempt, clear_exchange, keep_contributions
from lambdas.fences import moment, raise_fence
from lambdas.kept import kept_for_redrive
from lambdas.logs import best_effort, log
from lambdas.plans import Claim, PartitionPlan
from lambdas.resumption import finished_epochs
from lambdas.watch import Watch
from stepml.job import keys
from stepml.job.documents import encode
from stepml.job.errors import InvalidTaskError
from stepml.job.reports import EndReport, Fence
from stepml.job.spec import JobSpec
from stepml.job.tasks import Continued
from stepml.ml.algorithms import OrchestratedAlgorithm, build_algorithm
from storage import DurableStorage
from storage.factory import BUCKET_VARIABLE

_STOPPED = "ABORTED"
# What ranks exchange until then in flight is cleared with the rest; what they publish later, in
# a step that takes longer, they take back themselves.
SETTLING_S = 1.5 * Watch.INTERVAL_S
_SAME_START_S = 1.0  # the notice and the state machine may round a start differently


class EndedExecution(msgspec.Struct, frozen=True, rename="camel"):
    """The detail of EventBridge's "Step Functions Execution Status Change", as far as it matters.

    https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html
    """

    execution_arn: str
    name: str
    status: str
    start_date: int  # milliseconds since 1970
    stop_date: int
    redrive_count: int | None = None
    input: str | None = None  # left out if it is too long
    error: str | None = None
    cause: str | None = None

    @property
    def stopped_at(self) -> str:
        """When it ended, ISO 8601."""
        return _timestamp(self.stop_date)

    @property
    def input_document(self) -> dict[str, Any]:
        """Its input."""
        document = msgspec.json.decode(self.input) if self.input else {}
        return document if isinstance(document, dict) else {}


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    try:
        ended = msgspec.convert(event["detail"], EndedExecution)
    except (KeyError, msgspec.ValidationError) as error:
        raise InvalidTaskError(f"EndedExecution: {error}") from None
    clean_up(ended, durable(), os.environ[BUCKET_VARIABLE], lambda: time.sleep(SETTLING_S))
    return {}


def clean_up(
    ended: EndedExecution, storage: DurableStorage, bucket: str, settle: Callable[[], None]
) -> None:
    """Fence what works for the execution; behind a job, clear its channel and say what is kept.

    ``settle`` is called between the two, and gives functions time to see the fence.
    """
    given = ended.input_document
    if (continued := Continued.of_input(given)) is not None:
        log("continuation ended", job_id=continued.job_id, execution=ended.name)
        return  # whoever started it ends with it
    if "job_id" in given:
        _end_attempt(str(given["job_id"]), given.get("run"), ended, storage)
    elif _owns(ended, storage):
        raise_fence(keys.fence(ended.name), _fence(ended), storage)
        log("job fenced", job_id=ended.name, status=ended.status)
        settle()
        _end_job(ended.name, ended, storage, bucket)


def _end_attempt(job_id: str, run: object, ended: EndedExecution, storage: DurableStorage) -> None:
    """Fence one attempt at an epoch; others, and what all share, are left alone."""
    plan = Documents(storage).find(keys.partition_plan(job_id), PartitionPlan)
    if plan is None or plan.run != run:
        return
    attempt = f"{ended.name}.{ended.redrive_count or 0}"
    raise_fence(keys.attempt_fence(job_id, attempt), _fence(ended), storage)
    if plan.spec.exchange.pattern == "async":  # the next attempt makes a model of its own
        with best_effort("clear the attempt", job_id=job_id, attempt=attempt):
            clear_attempt(job_id, attempt, plan, storage)
    log("attempt fenced", job_id=job_id, attempt=attempt, status=ended.status)


def _owns(ended: EndedExecution, storage: DurableStorage) -> bool:
    """Return whether an execution is the one that a job was begun by.

    Not by the name alone: names return, and a job that was refused because its name is taken must
    not stop the one that has it.
    """
    claim = Documents(storage).find(keys.claim(ended.name), Claim)
    if claim is None or claim.execution_arn != ended.execution_arn:
        return False
    apart_s = abs(moment(claim.started_at).timestamp() - ended.start_date / 1000)
    if apart_s > _SAME_START_S:
        log("another run of this name", job_id=ended.name, seconds_apart=apart_s)
    return apart_s <= _SAME_START_S


def _fence(ended: EndedExecution) -> Fence:
    return Fence(until=ended.stopped_at, status=ended.status, execution=ended.name)


def _end_job(job_id: str, ended: EndedExecution, storage: DurableStorage, bucket: str) -> None:
    if storage.describe(keys.report(job_id)) is not None:
        return  # it has come through since
    plan = Documents(storage).find(keys.partition_plan(job_id), PartitionPlan)
    keeps = plan is not None and ended.status != _STOPPED and _contributes(plan.spec)
    if plan is not None:
        with best_effort("clear the channel", job_id=job_id):
            _clear_channel(job_id, plan, storage, keeps_contributions=keeps)
    report = EndReport(
        job_id=job_id,
        execution_arn=ended.execution_arn,
        status=ended.status,
        error=ended.error or "",
        cause=(ended.cause or "")[:1000],
        stopped_at=ended.stopped_at,
        epochs=finished_epochs(storage, job_id),
        kept=kept_for_redrive(job_id, bucket),
        contributions=keeps,
    )
    storage.save(keys.ended(job_id), encode(report))
    if storage.describe(keys.report(job_id)) is not None:  # clearing may have taken a while
        storage.delete(keys.ended(job_id))
    log("job ended", job_id=job_id, status=ended.status, epochs=report.epochs)


def _contributes(spec: JobSpec) -> bool:
    return isinstance(build_algorithm(spec), OrchestratedAlgorithm)


def _clear_channel(
    job_id: str, plan: PartitionPlan, storage: DurableStorage, *, keeps_contributions: bool
) -> None:
    """Delete what the ranks have exchanged; what finished ranks gave may be kept for a redrive."""
    if keeps_contributions:
        keep_contributions(job_id, finished_epochs(storage, job_id) + 1, plan, storage)
    else:
        clear_exchange(job_id, plan, storage)


def _timestamp(milliseconds: int) -> str:
    found = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return found.isoformat(timespec="milliseconds").replace("+00:00", "Z")

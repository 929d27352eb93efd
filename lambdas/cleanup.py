"""Tidies up behind an execution that has ended without a result: fence first, then the channel.

Called by EventBridge, as no state runs any more, at least once and perhaps late. What it does can
be done again, and by an old notice to a job that goes on by now: only the channel loses something.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

import msgspec

from lambdas.documents import Documents
from lambdas.environment import LambdaContext, durable
from lambdas.exchanges import open_kept
from lambdas.fences import moment, raise_fence
from lambdas.kept import kept_for_redrive
from lambdas.logs import best_effort, log
from lambdas.plans import Claim, PartitionPlan
from lambdas.prepare import continued_job
from lambdas.resumption import finished_epochs
from stepml.job import keys
from stepml.job.documents import encode
from stepml.job.errors import InvalidTaskError
from stepml.job.reports import EndReport, Fence
from stepml.job.spec import JobSpec
from stepml.ml.algorithms import OrchestratedAlgorithm, build_algorithm
from storage import DurableStorage
from storage.factory import BUCKET_VARIABLE

_STOPPED = "ABORTED"


class EndedExecution(msgspec.Struct, frozen=True, rename="camel"):
    """The detail of EventBridge's "Step Functions Execution Status Change", as far as it matters.

    https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html
    """

    execution_arn: str
    name: str
    status: str
    start_date: int  # milliseconds since 1970
    stop_date: int
    redrive_count: int = 0
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
    clean_up(ended, durable(), os.environ[BUCKET_VARIABLE])
    return {}


def clean_up(ended: EndedExecution, storage: DurableStorage, bucket: str) -> None:
    """Fence what works for the execution; behind a job, clear its channel and say what is kept."""
    owner = _owner(ended, storage)
    if owner is None:  # it was refused before it had begun, or its objects are gone
        return
    job_id, is_job = owner
    fence = Fence(until=ended.stopped_at, status=ended.status, execution=ended.name)
    is_epoch_alone = ended.redrive_count > 0 and not is_job
    attempt = f"{ended.name}.{ended.redrive_count}"
    key = keys.attempt_fence(job_id, attempt) if is_epoch_alone else keys.fence(job_id)
    raise_fence(key, fence, storage)
    log("attempts fenced", job_id=job_id, execution=ended.name, status=ended.status)
    if is_job and storage.describe(keys.report(job_id)) is None:
        _end_job(job_id, ended, storage, bucket)


def _owner(ended: EndedExecution, storage: DurableStorage) -> tuple[str, bool] | None:
    """Return the job that an execution worked for, and whether it was the job itself.

    Not by the name alone: names return, and a job that was refused because its name is taken must
    not stop the one that has it.
    """
    given, documents = ended.input_document, Documents(storage)
    continued = continued_job(given)
    of = (continued.job_id, continued.run) if continued else (given.get("job_id"), given.get("run"))
    if isinstance(of[0], str):
        plan = documents.find(keys.partition_plan(of[0]), PartitionPlan)
        return (of[0], False) if plan is not None and plan.run == of[1] else None
    claim = documents.find(keys.claim(ended.name), Claim)
    if claim is None or claim.execution_arn != ended.execution_arn:
        return None
    is_same = _timestamp(ended.start_date) == _milliseconds(claim.started_at)
    return (ended.name, True) if is_same else None


def _end_job(job_id: str, ended: EndedExecution, storage: DurableStorage, bucket: str) -> None:
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
    log("job ended", job_id=job_id, status=ended.status, epochs=report.epochs)


def _contributes(spec: JobSpec) -> bool:
    return isinstance(build_algorithm(spec), OrchestratedAlgorithm)


def _clear_channel(
    job_id: str, plan: PartitionPlan, storage: DurableStorage, *, keeps_contributions: bool
) -> None:
    """Delete what the ranks have exchanged; what finished ranks gave may be kept for a redrive."""
    channel = open_kept(plan.spec.exchange.channel, storage)
    prefix = keys.exchange_prefix(job_id, plan.run)
    if not keeps_contributions:
        channel.clear(prefix)
        return
    kept = keys.contributions_prefix(prefix, finished_epochs(storage, job_id) + 1)
    channel.delete_many([key for key in channel.list(prefix) if not key.startswith(kept)])


def _timestamp(milliseconds: int) -> str:
    found = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return found.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _milliseconds(timestamp: str) -> str:
    """Return an ISO 8601 time as `_timestamp` writes it."""
    return _timestamp(round(moment(timestamp).timestamp() * 1000))

"""The epochs of a job: its child executions and their reports."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from stepml.client.attempt_failures import epoch_child, failure_of_attempt
from stepml.client.connection import Connection, translated
from stepml.client.objects import find_document, is_there
from stepml.client.reading import read_each
from stepml.client.stack import Stack
from stepml.job import keys
from stepml.job.reports import DatasetFacts, EpochReport, JobReport, PlannedData, PlannedJob
from stepml.job.spec import JobSpec
from stepml.records.execution import SUCCEEDED, EpochAttempt, Execution, ExecutionState
from stepml.records.failures import Failure, first_failure

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions.type_defs import ExecutionListItemTypeDef

# The suffix that train.asl.json appends to the job id; the same in each of the job's executions.
_SUFFIX = re.compile(r"-e(?P<epoch>\d+)-r(?P<redrive>\d+)-t(?P<retry>\d+)")
EXECUTIONS_PAGE = 1000  # the limit of AWS


def attempts(
    connection: Connection, stack: Stack, job: ExecutionState, final: JobReport | None = None
) -> list[EpochAttempt]:
    """Return every attempt at every epoch in the order of their start, with reports.

    ``final`` is the job's final report, if that is known already.
    """
    name = job.execution.name
    found = numbered(
        attempt
        for item in executions_since(connection, stack.epoch_arn, job.started_at)
        if (attempt := attempt_of(name, item)) is not None
    )
    return _explained(connection, stack, name, found, final or job_report(connection, stack, name))


def _explained(
    connection: Connection,
    stack: Stack,
    name: str,
    found: list[EpochAttempt],
    final: JobReport | None,
) -> list[EpochAttempt]:
    """Return attempts with the reports of those that ended well, and the failures of others."""
    reports = _reports(connection, stack, name, {attempt.epoch for attempt in found}, final)
    failures = _failures(connection, stack, name, found)
    return [
        replace(
            attempt,
            report=reports.get(attempt.epoch) if attempt.status == SUCCEEDED else None,
            failure=failures.get(attempt.execution.arn),
        )
        for attempt in found
    ]


def attempts_at_epoch(
    connection: Connection, stack: Stack, job: ExecutionState, epoch: int
) -> list[EpochAttempt]:
    """Return every attempt at one epoch of a job, with its report and failure."""
    name = job.execution.name
    found = numbered(
        attempt
        for item in executions_since(connection, stack.epoch_arn, job.started_at)
        if (attempt := attempt_of(name, item)) is not None and attempt.epoch == epoch
    )
    return _explained(connection, stack, name, found, None)


def job_failure(connection: Connection, stack: Stack, job: ExecutionState) -> Failure | None:
    """Return the failure of a job in this state; None if it is running or has succeeded."""
    failure = job.failure
    if failure is None or job.status == "ABORTED":
        return failure
    child = epoch_child(job.execution.name, job.cause or "")
    if child is None and job.error == "States.TaskFailed":  # the cause was cut off
        child = _newest_failed(connection, stack, job)
    found = None if child is None else child_failure(connection, stack, job.execution.name, child)
    return found or failure


def child_failure(connection: Connection, stack: Stack, job_id: str, child: str) -> Failure | None:
    """Return the failure of an epoch's execution named ``child``; None if it is unknown."""
    arn = stack.epoch_arn.replace(":stateMachine:", ":execution:")
    return failure_of_attempt(connection, stack, job_id, f"{arn}:{child}")


def epoch_report(
    connection: Connection, stack: Stack, job_id: str, epoch: int
) -> EpochReport | None:
    """Return an epoch's report, or None if there is none yet."""
    key, what = keys.epoch_report(job_id, epoch), f"the report of epoch {epoch} of {job_id}"
    return find_document(connection, stack.bucket, key, EpochReport, what)


def job_report(connection: Connection, stack: Stack, job_id: str) -> JobReport | None:
    """Return a job's final report, or None if there is none yet."""
    key, what = keys.report(job_id), f"the report of {job_id}"
    return find_document(connection, stack.bucket, key, JobReport, what)


def dataset_facts(connection: Connection, stack: Stack, job_id: str) -> DatasetFacts | None:
    """Return a job's understanding of its data, or None before they are partitioned."""
    key, what = keys.training_plan(job_id), f"the training plan of {job_id}"
    plan = find_document(connection, stack.bucket, key, PlannedData, what)
    return None if plan is None else plan.about


def planned_job(connection: Connection, stack: Stack, job_id: str) -> JobSpec | None:
    """Return a job with all that has been chosen so far, or None before it is planned."""
    for key in (keys.training_plan(job_id), keys.partition_plan(job_id)):
        plan = find_document(connection, stack.bucket, key, PlannedJob, f"the plan of {job_id}")
        if plan is not None:
            return plan.spec
    return None


def finished_epochs(connection: Connection, stack: Stack, job_id: str) -> int:
    """Return the number of epochs with a report; those of a job have them without a gap."""

    def is_finished(epoch: int) -> bool:
        return is_there(connection, stack.bucket, keys.epoch_report(job_id, epoch))

    unfinished = 1
    while is_finished(unfinished):
        unfinished *= 2
    finished = unfinished // 2
    while unfinished - finished > 1:
        middle = (finished + unfinished) // 2
        if is_finished(middle):
            finished = middle
        else:
            unfinished = middle
    return finished


def executions_since(
    connection: Connection, machine: str, moment: datetime, at_once: int = EXECUTIONS_PAGE
) -> Iterator[ExecutionListItemTypeDef]:
    """Yield the executions of a state machine that started after a moment, newest first."""
    pages = connection.client("stepfunctions").get_paginator("list_executions")
    with translated(connection.endpoint_url):
        for page in pages.paginate(stateMachineArn=machine, PaginationConfig={"PageSize": at_once}):
            items = page["executions"]
            yield from items
            # The next pages are older still.
            if items and items[-1]["startDate"] < moment:
                return


def attempt_of(job_id: str, item: ExecutionListItemTypeDef) -> EpochAttempt | None:
    """Return the attempt at an epoch of a job that an execution is; None: it is of another one."""
    name = item["name"]
    suffix = _SUFFIX.fullmatch(name, len(job_id)) if name.startswith(job_id) else None
    if suffix is None:
        return None
    return EpochAttempt(
        execution=Execution(name, item["executionArn"]),
        epoch=int(suffix["epoch"]),
        number=0,
        redrive=int(suffix["redrive"]),
        retry=int(suffix["retry"]),
        status=item["status"],
        started_at=item["startDate"],
        ended_at=item.get("stopDate"),
        report=None,
        failure=None,
    )


def numbered(found: Iterable[EpochAttempt]) -> list[EpochAttempt]:
    """Return attempts in the order of their start, numbered within each epoch."""
    so_far: Counter[int] = Counter()
    numbered = []
    # Redrives and retries order attempts that started in the same millisecond.
    for attempt in sorted(
        found, key=lambda each: (each.started_at, each.epoch, each.redrive, each.retry)
    ):
        so_far[attempt.epoch] += 1
        numbered.append(replace(attempt, number=so_far[attempt.epoch]))
    return numbered


def _reports(
    connection: Connection,
    stack: Stack,
    job_id: str,
    epochs: Iterable[int],
    final: JobReport | None,
) -> dict[int, EpochReport]:
    if final is not None:
        return {report.epoch: report for report in final.history}
    found = read_each(lambda epoch: epoch_report(connection, stack, job_id, epoch), epochs)
    return {report.epoch: report for report in found if report is not None}


def attempt_failure(
    connection: Connection, stack: Stack, job_id: str, attempt: EpochAttempt
) -> Failure:
    """Return the failure of an attempt that has ended without success."""
    known = failure_of_attempt(connection, stack, job_id, attempt.execution.arn)
    return known or first_failure(attempt.status)


def _failures(
    connection: Connection, stack: Stack, job_id: str, found: Iterable[EpochAttempt]
) -> dict[str, Failure]:
    failed = [each for each in found if each.has_failed]
    reasons = read_each(lambda each: attempt_failure(connection, stack, job_id, each), failed)
    return {attempt.execution.arn: reason for attempt, reason in zip(failed, reasons, strict=True)}


def _newest_failed(connection: Connection, stack: Stack, job: ExecutionState) -> str | None:
    """Return the name of the epoch's execution that failed last, or None."""
    for item in executions_since(connection, stack.epoch_arn, job.started_at):
        if item["status"] == "FAILED" and attempt_of(job.execution.name, item) is not None:
            return item["name"]
    return None

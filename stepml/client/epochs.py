"""The epochs of a job: its child executions and their reports."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from stepml.client.connection import Connection, translated
from stepml.client.errors import ReportUnreadableError, ServiceRefusedError
from stepml.client.execution import SUCCEEDED, EpochAttempt, Execution, ExecutionState
from stepml.client.stack import Stack
from stepml.job import keys
from stepml.job.reports import EpochReport, JobReport

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions.type_defs import ExecutionListItemTypeDef

# What RunEpoch of train.asl.json appends to the job id.
_SUFFIX = re.compile(r"-e(?P<epoch>\d+)-r(?P<redrive>\d+)-t(?P<retry>\d+)")
READERS = 8  # boto3 keeps ten connections
_ABSENT = frozenset({"NoSuchKey", "404"})


def attempts(connection: Connection, stack: Stack, job: ExecutionState) -> list[EpochAttempt]:
    """Return every attempt at every epoch, in the order of their start, with their reports."""
    name = job.execution.name
    found = [
        attempt
        for item in _children(connection, stack, job)
        if (attempt := _attempt(name, item)) is not None
    ]
    found.sort(key=lambda attempt: (attempt.epoch, attempt.redrive, attempt.retry))
    reports = _reports(connection, stack, name, {attempt.epoch for attempt in found})
    return [_with_report(attempt, reports) for attempt in found]


def epoch_report(
    connection: Connection, stack: Stack, job_id: str, epoch: int
) -> EpochReport | None:
    """Return an epoch's report, or None if the epoch has none yet."""
    body = _load(connection, stack.bucket, keys.epoch_report(job_id, epoch))
    return None if body is None else _decoded(body, EpochReport, f"epoch {epoch} of {job_id}")


def job_report(connection: Connection, stack: Stack, job_id: str) -> JobReport | None:
    """Return a job's final report, or None if the job has not ended well (yet)."""
    body = _load(connection, stack.bucket, keys.report(job_id))
    return None if body is None else _decoded(body, JobReport, job_id)


def _children(
    connection: Connection, stack: Stack, job: ExecutionState
) -> Iterator[ExecutionListItemTypeDef]:
    pages = connection.client("stepfunctions").get_paginator("list_executions")
    with translated(connection.endpoint_url):
        for page in pages.paginate(stateMachineArn=stack.epoch_arn):
            items = page["executions"]
            yield from items
            # Newest first: what follows a page from before the job is older still.
            if items and all(item["startDate"] < job.started_at for item in items):
                return


def _attempt(job_id: str, item: ExecutionListItemTypeDef) -> EpochAttempt | None:
    name = item["name"]
    suffix = _SUFFIX.fullmatch(name, len(job_id)) if name.startswith(job_id) else None
    if suffix is None:
        return None
    return EpochAttempt(
        execution=Execution(name, item["executionArn"]),
        epoch=int(suffix["epoch"]),
        redrive=int(suffix["redrive"]),
        retry=int(suffix["retry"]),
        status=item["status"],
        started_at=item["startDate"],
        ended_at=item.get("stopDate"),
        report=None,
    )


def _reports(
    connection: Connection, stack: Stack, job_id: str, epochs: Iterable[int]
) -> dict[int, EpochReport]:
    final = job_report(connection, stack, job_id)
    if final is not None:
        return {report.epoch: report for report in final.history}
    with ThreadPoolExecutor(READERS) as pool:
        found = pool.map(lambda epoch: epoch_report(connection, stack, job_id, epoch), epochs)
        return {report.epoch: report for report in found if report is not None}


def _with_report(attempt: EpochAttempt, reports: dict[int, EpochReport]) -> EpochAttempt:
    report = reports.get(attempt.epoch) if attempt.status == SUCCEEDED else None
    return replace(attempt, report=report)


def _load(connection: Connection, bucket: str, key: str) -> bytes | None:
    try:
        with translated(connection.endpoint_url):
            return connection.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    except ServiceRefusedError as error:
        if error.code in _ABSENT:
            return None
        raise


def _decoded(body: bytes, kind: type[Any], what: str) -> Any:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise ReportUnreadableError(
            f"the report of {what} is of another version of StepML, or damaged: {error}"
        ) from None

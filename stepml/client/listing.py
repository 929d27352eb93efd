"""Lists the jobs of a stack, newest first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from stepml.client import epochs, executions
from stepml.client.connection import Connection, translated
from stepml.client.continuations import job_name
from stepml.client.reading import read_each
from stepml.client.stack import Stack
from stepml.job.errors import InvalidJobError
from stepml.job.parse import parse_job
from stepml.job.reports import EpochReport, total_cost_usd
from stepml.job.spec import JobSpec
from stepml.job.suggestions import nearest
from stepml.records.errors import AccessError, ExecutionNotFoundError, ReportUnreadableError
from stepml.records.execution import Execution, ExecutionState
from stepml.records.failures import STOPPED, Failure
from stepml.reports.status_words import status_word

_WITH_REASON = frozenset({"FAILED", "TIMED_OUT", "ABORTED"})
_MOST_NAMES = 1000  # of runs among which one with a typing error is looked for

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions.type_defs import ExecutionListItemTypeDef


@dataclass(frozen=True, slots=True)
class JobSummary:
    """A job in a list."""

    name: str
    status: str  # of its execution
    started_at: datetime
    ended_at: datetime | None  # None while it runs
    spec: JobSpec | None  # with all that has been chosen so far; None: no valid job
    epochs: int  # finished ones
    report: EpochReport | None  # of the epoch whose model is kept, or of the last one
    cost_usd: float | None  # of the job, estimated
    failure: Failure | None = None  # of a job that failed, ran out of time or was stopped
    reported_seconds: float | None = None  # from its start to its final report

    @property
    def seconds(self) -> float:
        """The time since the start, or that of the final report, or from start to end."""
        if self.reported_seconds is not None:
            return self.reported_seconds
        return ((self.ended_at or datetime.now(UTC)) - self.started_at).total_seconds()

    @property
    def why(self) -> str:
        """The error, or by whom the job was stopped; empty if there is neither."""
        if self.failure is None or self.status != "ABORTED":
            return "" if self.failure is None else self.failure.with_rank
        word, by = status_word(self.status), self.failure.message
        return word if by == STOPPED else f"{word}: {by}"


def list_jobs(
    connection: Connection, stack: Stack, limit: int, status: str | None = None
) -> list[JobSummary]:
    """Return the newest ``limit`` jobs, of one status if it is given."""
    found = islice(job_executions(connection, stack, status), limit)
    summaries = read_each(lambda item: summary_of(connection, stack, item), found)
    return [each for each in summaries if each is not None]


def latest_job(connection: Connection, stack: Stack, status: str | None = None) -> Execution:
    """Return the newest job, of one status if it is given, or raise `ExecutionNotFoundError`."""
    for item in job_executions(connection, stack, status):
        return Execution(item["name"], item["executionArn"])
    which = "" if status is None else f" that has {status.lower()}"
    raise ExecutionNotFoundError(
        f"the stack {stack.name!r} at {connection.place} has no job{which} yet; start one: "
        "stepml run JOB.json"
    )


def describe_job(connection: Connection, stack: Stack, execution: Execution) -> ExecutionState:
    """Return the current state of a job, or raise `ExecutionNotFoundError` with a hint."""
    return executions.describe(
        connection, stack.name, execution, lambda: _hint_at_run(connection, stack, execution.name)
    )


def _hint_at_run(connection: Connection, stack: Stack, name: str) -> str:
    """Return a hint at the run that is meant by a wrong name, or "" if none is like it.

    Of several runs that begin like it, that is the newest.
    """
    try:
        all_runs = job_executions(connection, stack, None)
        runs = [each["name"] for each in islice(all_runs, _MOST_NAMES)]
    except AccessError:  # this person may look at a job, but not at all of them
        return ""
    meant = next((run for run in runs if run.startswith(f"{name}-")), None) or nearest(name, runs)
    return f" (did you mean {meant!r}?)" if meant and meant != name else ""


def job_executions(
    connection: Connection, stack: Stack, status: str | None, at_once: int = 100
) -> Iterator[ExecutionListItemTypeDef]:
    """Yield the executions that began a job, newest first; others continue one.

    A request returns at most ``at_once`` of them.
    """
    chosen: dict[str, Any] = {} if status is None else {"statusFilter": status}
    pages = connection.client("stepfunctions").get_paginator("list_executions")
    with translated(connection.endpoint_url):
        for page in pages.paginate(
            stateMachineArn=stack.train_arn, PaginationConfig={"PageSize": at_once}, **chosen
        ):
            yield from (
                each for each in page["executions"] if job_name(each["name"]) == each["name"]
            )


def summary_of(
    connection: Connection, stack: Stack, item: ExecutionListItemTypeDef
) -> JobSummary | None:
    """Return the job of an execution; None if it continues another one under another name."""
    name = item["name"]
    try:
        failure = _failure(connection, stack, item)
        spec, n_epochs, report, cost_usd, seconds = _result(connection, stack, name)
    except ReportUnreadableError:  # of another version
        spec, n_epochs, report, cost_usd, seconds = None, 0, None, None, None
    except ExecutionNotFoundError:
        return None
    return JobSummary(
        name=name,
        status=item["status"],
        started_at=item["startDate"],
        ended_at=item.get("stopDate"),
        spec=spec,
        epochs=n_epochs,
        report=report,
        cost_usd=cost_usd,
        failure=failure,
        reported_seconds=seconds,
    )


def running_summary(
    connection: Connection,
    stack: Stack,
    item: ExecutionListItemTypeDef,
    before: JobSummary | None,
) -> JobSummary | None:
    """Return the job of a running execution; only the news since ``before`` are read."""
    if before is None or before.spec is None or before.report is None:
        return summary_of(connection, stack, item)
    report = before.report
    with suppress(ReportUnreadableError):
        while new := epochs.epoch_report(connection, stack, before.name, report.next_epoch):
            report = new
    return replace(
        before,
        status=item["status"],
        ended_at=None,
        epochs=report.epoch,
        report=report,
        cost_usd=report.total_cost_usd,
        failure=None,
    )


def _failure(
    connection: Connection, stack: Stack, item: ExecutionListItemTypeDef
) -> Failure | None:
    if item["status"] not in _WITH_REASON:
        return None
    execution = Execution(item["name"], item["executionArn"])
    return executions.describe(connection, stack.name, execution).failure


def _result(
    connection: Connection, stack: Stack, name: str
) -> tuple[JobSpec | None, int, EpochReport | None, float | None, float | None]:
    final = epochs.job_report(connection, stack, name)
    if final is not None:
        kept = final.history[(final.model_epoch or final.epochs) - 1]
        return final.spec, final.epochs, kept, total_cost_usd(final), final.seconds
    spec = _spec(connection, stack, name)
    n_epochs = 0 if spec is None else epochs.finished_epochs(connection, stack, name)
    last = epochs.epoch_report(connection, stack, name, n_epochs) if n_epochs else None
    return spec, n_epochs, last, None if last is None else last.total_cost_usd, None


def _spec(connection: Connection, stack: Stack, name: str) -> JobSpec | None:
    """Return a job with all that has been chosen so far, or None if it is invalid."""
    if (planned := epochs.planned_job(connection, stack, name)) is not None:
        return planned
    with suppress(InvalidJobError):
        execution = executions.named_execution(stack, name)
        return parse_job(executions.describe(connection, stack.name, execution).job)
    return None

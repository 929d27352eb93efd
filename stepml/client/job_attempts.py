"""Reads the attempts at a job's epochs again and again: those that have ended, once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING

from stepml.client.epoch_reports import EpochReports
from stepml.client.epochs import (
    EXECUTIONS_PAGE,
    attempt_failure,
    attempt_of,
    executions_since,
    numbered,
)
from stepml.client.reading import READERS, read_each
from stepml.client.run_facts import RunFacts
from stepml.records.execution import SUCCEEDED, EpochAttempt, ExecutionState
from stepml.records.failures import Failure, first_failure

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions.type_defs import ExecutionListItemTypeDef

FEW = 25  # executions in a request for the newest ones
LATE = timedelta(seconds=10)  # by which ListExecutions may lag, at most


class JobAttempts:
    """The attempts at the epochs of a job.

    Parameters
    ----------
    run : RunFacts
    """

    def __init__(self, run: RunFacts) -> None:
        self._run = run
        self._listed: dict[str, EpochAttempt] = {}  # by name, as in ListExecutions
        self._failures: dict[str, Failure] = {}  # by name
        self._shown: dict[str, EpochAttempt] = {}  # by name, with report and failure

    @property
    def are_open(self) -> bool:
        """Whether one of them was running when they were read last."""
        return any(not each.has_ended for each in self._listed.values())

    @property
    def last_finished(self) -> int:
        """The last epoch with an attempt that has succeeded, or 0."""
        return max((each.epoch for each in self._listed.values() if _succeeded(each)), default=0)

    def read(self, job: ExecutionState) -> None:
        """Read those that are new or were running."""
        at_once = FEW if self._listed else EXECUTIONS_PAGE
        for item in self._executions(self._changed_since(job), at_once):
            attempt = attempt_of(job.execution.name, item)
            if attempt is not None and attempt.started_at >= job.started_at:
                self._listed[attempt.execution.name] = attempt

    def explain(self, in_time: Callable[[], bool]) -> bool:
        """Read why attempts have failed, the newest first, while there is time.

        Returns
        -------
        bool
            Whether none is left.
        """
        failed = sorted(
            (each for each in self._listed.values() if each.has_failed),
            key=lambda each: each.started_at,
            reverse=True,
        )
        unexplained = (each for each in failed if each.execution.name not in self._failures)
        while some := list(islice(unexplained, READERS)):
            found = read_each(self._failure, some)
            self._failures.update(
                {each.execution.name: why for each, why in zip(some, found, strict=True)}
            )
            if not in_time():
                return next(unexplained, None) is None
        return True

    def in_order(self, reports: EpochReports) -> list[EpochAttempt]:
        """Return the attempts in the order of their start; one without news is the same object."""
        now = {
            each.execution.name: self._complete(each, reports)
            for each in numbered(self._listed.values())
        }
        before = self._shown
        self._shown = {
            name: before[name] if before.get(name) == each else each for name, each in now.items()
        }
        return list(self._shown.values())

    def _complete(self, attempt: EpochAttempt, reports: EpochReports) -> EpochAttempt:
        report = reports.get(attempt.epoch) if _succeeded(attempt) else None
        failure = self._failures.get(attempt.execution.name)
        if failure is None and attempt.has_failed:
            failure = first_failure(attempt.status)  # until the reason has been read
        return replace(attempt, report=report, failure=failure)

    def _failure(self, attempt: EpochAttempt) -> Failure:
        run = self._run
        return attempt_failure(run.connection, run.stack, run.name, attempt)

    def _executions(self, since: datetime, at_once: int) -> list[ExecutionListItemTypeDef]:
        run = self._run
        return list(executions_since(run.connection, run.stack.epoch_arn, since, at_once))

    def _changed_since(self, job: ExecutionState) -> datetime:
        """Return the start of the first attempt that may have changed, or be missing."""
        started = [each.started_at for each in self._listed.values()]
        running = [each.started_at for each in self._listed.values() if not each.has_ended]
        newest = max(started, default=job.started_at + LATE) - LATE
        return max(job.started_at, min([newest, *running]))


def _succeeded(attempt: EpochAttempt) -> bool:
    return attempt.status == SUCCEEDED

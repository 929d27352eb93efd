"""Executions as the client sees them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from stepml.client.failures import Failure, first_failure
from stepml.job.reports import EpochReport

SUCCEEDED = "SUCCEEDED"
RUNNING = frozenset({"RUNNING", "PENDING_REDRIVE"})


@dataclass(frozen=True, slots=True)
class Execution:
    """One job: an execution of the ``train`` state machine."""

    name: str  # the job id
    arn: str


@dataclass(frozen=True, slots=True)
class ExecutionState:
    """How an execution is doing."""

    execution: Execution
    status: str  # RUNNING, SUCCEEDED, FAILED, TIMED_OUT, ABORTED or PENDING_REDRIVE
    started_at: datetime
    ended_at: datetime | None  # None while it runs
    job: str  # its input, JSON
    error: str | None
    cause: str | None

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen, but for a redrive."""
        return self.status not in RUNNING

    @property
    def succeeded(self) -> bool:
        """Whether there is a model."""
        return self.status == SUCCEEDED

    @property
    def failure(self) -> Failure | None:
        """The first error, if it ended without a model."""
        if not self.ended or self.succeeded:
            return None
        return first_failure(self.status, self.error, self.cause)


@dataclass(frozen=True, slots=True)
class EpochAttempt:
    """One child execution: an epoch, tried once."""

    execution: Execution
    epoch: int  # from 1
    redrive: int  # how often the job had been redriven by then
    retry: int  # how often RunEpoch had been retried by then
    status: str
    started_at: datetime
    ended_at: datetime | None
    report: EpochReport | None  # of the epoch; None until it has one, and for attempts that failed

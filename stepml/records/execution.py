"""Executions as the client sees them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from stepml.job.reports import EpochReport
from stepml.records.failures import Failure, first_failure

SUCCEEDED = "SUCCEEDED"
RUNNING = frozenset({"RUNNING", "PENDING_REDRIVE"})


@dataclass(frozen=True, slots=True)
class Execution:
    """One job: an execution of the ``train`` state machine."""

    name: str  # the job id
    arn: str


@dataclass(frozen=True, slots=True)
class ExecutionState:
    """The state of an execution."""

    execution: Execution
    status: str  # RUNNING, SUCCEEDED, FAILED, TIMED_OUT, ABORTED or PENDING_REDRIVE
    started_at: datetime
    ended_at: datetime | None  # None while it runs
    job: str  # its input, JSON
    error: str | None
    cause: str | None
    redrives: int = 0  # how often it has been redriven
    redrive_status: str = ""  # REDRIVABLE or NOT_REDRIVABLE; empty where AWS does not say
    redrive_reason: str = ""  # AWS's reason why it is not redrivable

    @property
    def ended(self) -> bool:
        """Whether the execution is over; only a redrive can change it."""
        return self.status not in RUNNING

    @property
    def succeeded(self) -> bool:
        """Whether there is a model."""
        return self.status == SUCCEEDED

    @property
    def failure(self) -> Failure | None:
        """The first error of an execution that ended without a model, else None."""
        if not self.ended or self.succeeded:
            return None
        return first_failure(self.status, self.error, self.cause)


@dataclass(frozen=True, slots=True)
class EpochAttempt:
    """One attempt at an epoch: a child execution."""

    execution: Execution
    epoch: int  # from 1
    number: int  # of the attempts at this epoch, from 1, in the order of their start
    redrive: int  # redrives of the parent execution before this attempt
    retry: int  # retries of the parent's RunEpoch before this attempt
    status: str
    started_at: datetime
    ended_at: datetime | None
    report: EpochReport | None  # of the epoch; None for running and failed attempts
    failure: Failure | None  # None unless it failed

    @property
    def has_ended(self) -> bool:
        """Whether it is over."""
        return self.status not in RUNNING

    @property
    def has_failed(self) -> bool:
        """Whether it is over without success: it failed, ran out of time or was stopped."""
        return self.has_ended and self.status != SUCCEEDED

    @property
    def seconds(self) -> float | None:
        """Its duration in seconds; None while it runs."""
        return (self.ended_at - self.started_at).total_seconds() if self.ended_at else None

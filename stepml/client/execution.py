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
    redrives: int = 0  # how often it has been redriven
    redrive_status: str = ""  # REDRIVABLE or NOT_REDRIVABLE; empty where AWS does not say
    redrive_reason: str = ""  # why it is not redrivable, in AWS's words

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
    number: int  # of the attempts at this epoch, from 1, in the order of their start
    redrive: int  # how often the execution that started it had been redriven by then
    retry: int  # how often that one's RunEpoch had been retried by then
    status: str
    started_at: datetime
    ended_at: datetime | None
    report: EpochReport | None  # of the epoch; None until it has one, and for attempts that failed
    failure: Failure | None  # why it failed; None if it did not

    @property
    def seconds(self) -> float | None:
        """How long it took; None while it runs."""
        return (self.ended_at - self.started_at).total_seconds() if self.ended_at else None

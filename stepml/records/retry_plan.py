"""The plans and results of retries and stops of a job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from stepml.records.execution import Execution

How = Literal["redriven", "resumed", "restarted"]  # the last two by a new execution


@dataclass(frozen=True, slots=True)
class RetryPlan:
    """The plan of a retry of a job."""

    job: str  # its name
    how: How
    name: str  # of the execution that will train: the job's own if it is redriven
    epoch: int | None  # the first one to train; None if only the model has to be written
    kept: int  # epochs that are not trained again: those before `epoch`
    source: str  # the job whose epochs are kept; "" if none are
    again: int  # finished epochs of the job that are trained once more
    reason: str  # for a new execution; empty if it is redriven
    is_running: bool  # the job runs, and goes on beside the new execution


@dataclass(frozen=True, slots=True)
class Retried:
    """A job that has been resumed."""

    execution: Execution  # the one that trains now; the same as before if it was redriven
    how: How
    epoch: int | None  # the first one to train; None if only the model has to be written
    reason: str  # for a new execution; empty if it was redriven


@dataclass(frozen=True, slots=True)
class StopPlan:
    """The plan of a stop of a job."""

    job: str  # its name
    status: str  # of its execution
    is_running: bool  # if not, nothing is changed
    finished: int  # epochs, which are kept

"""Decides what a retry of a job will do, before anything is done.

For 14 days, Step Functions can redrive an execution that failed, was stopped or timed out, with the
definition from its start. Otherwise a new execution takes over the epochs that the job has
finished.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from stepml.client.arguments import integer
from stepml.client.connection import Connection, translated
from stepml.client.epochs import epoch_report, finished_epochs
from stepml.client.executions import describe
from stepml.client.stack import Stack
from stepml.job.errors import InvalidJobError
from stepml.job.json_text import json_document
from stepml.job.names import MAX_NAME
from stepml.job.parse import parse_job
from stepml.records.errors import RetryRefusedError
from stepml.records.execution import Execution, ExecutionState
from stepml.records.retry_plan import RetryPlan

_AGAIN = "-again-"
_TIME = "%Y%m%d-%H%M%S"
_TIME_CHARACTERS = len("20260102-101500")
_SUFFIX_CHARACTERS = len("-e100000-r9999-t99")  # of an epoch's name, at most


@dataclass(frozen=True, slots=True)
class RetryChoices:
    """The ways in which a job can be retried, as it was when this was read.

    Attributes
    ----------
    state : ExecutionState
    finished : int
        Its finished epochs.
    is_trained : bool
        Whether they are all that it needs, so that only the model has to be written.
    resumed : tuple of str and int
        The job whose epochs it has taken over, and their number.
    why_anew : str
        Why Step Functions cannot redrive it, or "".
    """

    state: ExecutionState
    finished: int
    is_trained: bool
    resumed: tuple[str, int]
    why_anew: str

    @property
    def most(self) -> int:
        """The last epoch from which it can be trained again; the first one is 1."""
        try:
            return min(self.finished + 1, parse_job(self.state.job).stop.most_epochs)
        except InvalidJobError:
            return self.finished + 1

    def plan(self, epoch: int | None = None, name: str | None = None) -> RetryPlan:
        """Return the plan of `Run.retry` with these arguments.

        Raises
        ------
        RetryRefusedError
            It will be refused.
        """
        if epoch is not None:
            return self._from_epoch(epoch, name)
        self._require_ended_without_model()
        self._require_job()
        self._require_not_final()
        reason = self.why_anew or ("another name was requested" if name else "")
        return self.anew(name, reason) if reason else self._redriven()

    def anew(self, name: str | None, reason: str) -> RetryPlan:
        """Return the plan of a new execution after the finished epochs."""
        # If only the model is missing, the last epoch is trained once more.
        kept = self.finished - self.is_trained
        if self.finished:
            return self._new_execution(name, self.name, kept, reason)
        # Its name may not even be claimed: the new one starts as it did.
        return self._new_execution(name, *self.resumed, reason)

    def document(self, plan: RetryPlan) -> dict[str, Any]:
        """Return the job of the new execution of a plan."""
        job = self._require_job()
        if not plan.source and self.resumed[0]:
            del job["resume_from"]
        elif plan.source == self.name:
            job["resume_from"] = {"job": self.name, "epoch": plan.kept}
        return job  # else it resumes the same job as before

    @property
    def name(self) -> str:
        """The job's name."""
        return self.state.execution.name

    def _redriven(self) -> RetryPlan:
        taken = self.resumed[1]  # they may not be copied yet
        kept = max(self.finished, taken)
        source = self.name if self.finished else self.resumed[0]
        epoch = None if self.is_trained else kept + 1
        return RetryPlan(
            self.name, "redriven", self.name, epoch, kept, source, 0, "", is_running=False
        )

    def _from_epoch(self, epoch: int, name: str | None) -> RetryPlan:
        self._require_job()
        chosen = integer(epoch)
        if chosen is None or not 1 <= chosen <= self.most:
            epochs = {0: "no epoch", 1: "1 epoch"}.get(self.finished, f"{self.finished} epochs")
            raise RetryRefusedError(
                f"epoch: expected 1 to {self.most}, as {self.name} has finished {epochs}, "
                f"got {epoch!r}"
            )
        source = self.name if chosen > 1 else ""
        return self._new_execution(name, source, chosen - 1, "an epoch was given")

    def _new_execution(self, name: str | None, source: str, kept: int, reason: str) -> RetryPlan:
        return RetryPlan(
            job=self.name,
            how="resumed" if kept else "restarted",
            name=name or next_name(self.name),
            epoch=kept + 1,
            kept=kept,
            source=source,
            again=max(self.finished - kept, 0),
            reason=reason,
            is_running=not self.state.ended,
        )

    def _require_ended_without_model(self) -> None:
        if self.state.ended and not self.state.succeeded:
            return
        now = "has succeeded" if self.state.ended else "is running"
        raise RetryRefusedError(
            f"{self.name} {now}: there is nothing to retry; to train it again, choose its first "
            f"epoch from 1 to {self.most}"
        )

    def _require_job(self) -> dict[str, Any]:
        try:
            parse_job(self.state.job)
        except InvalidJobError as error:
            raise self._would_fail_again(f", as its job is wrong: {error}") from error
        job: dict[str, Any] = json_document(self.state.job)
        return job

    def _require_not_final(self) -> None:
        failure = self.state.failure
        if failure is not None and failure.is_final:
            raise self._would_fail_again(f": {failure}")

    def _would_fail_again(self, why: str) -> RetryRefusedError:
        error = RetryRefusedError(
            f"{self.name} would fail again{why}; correct the job and start it with: stepml run"
        )
        error.needs_change = True
        return error


def retry_choices(connection: Connection, stack: Stack, execution: Execution) -> RetryChoices:
    """Return the ways in which a job can be retried."""
    state = describe(connection, stack.name, execution)
    finished = finished_epochs(connection, stack, execution.name)
    return RetryChoices(
        state,
        finished,
        is_trained=_is_trained(connection, stack, execution.name, finished),
        resumed=_resumed(connection, stack, state.job),
        why_anew=_why_anew(connection, stack, state, finished),
    )


def counted_again(connection: Connection, stack: Stack, choices: RetryChoices) -> RetryChoices:
    """Return ``choices`` with the epochs that have finished by now."""
    finished = finished_epochs(connection, stack, choices.name)
    is_trained = _is_trained(connection, stack, choices.name, finished)
    return replace(choices, finished=finished, is_trained=is_trained)


def next_name(name: str, at: time.struct_time | None = None) -> str:
    """Return the name of a new execution that continues the job ``name``."""
    stem = name.partition(_AGAIN)[0]
    longest = MAX_NAME - _SUFFIX_CHARACTERS - len(_AGAIN) - _TIME_CHARACTERS
    return f"{stem[:longest]}{_AGAIN}{time.strftime(_TIME, at or time.localtime())}"


def _is_trained(connection: Connection, stack: Stack, job_id: str, finished: int) -> bool:
    last = epoch_report(connection, stack, job_id, finished) if finished else None
    return last is not None and last.decision != "continue"


def _resumed(connection: Connection, stack: Stack, job: str) -> tuple[str, int]:
    """Return the job that ``job`` resumes, and the number of epochs that it takes over."""
    try:
        resumed = parse_job(job).resumed
    except InvalidJobError:
        return "", 0
    if resumed is None:
        return "", 0
    if resumed.epoch is not None:
        return resumed.job, resumed.epoch
    return resumed.job, finished_epochs(connection, stack, resumed.job)


def _why_anew(connection: Connection, stack: Stack, state: ExecutionState, finished: int) -> str:
    """Return the reason why a redrive of an ended job is impossible or useless, or ""."""
    failure = state.failure
    if failure is None:
        return ""  # it runs, or has succeeded
    if not finished and failure.needs_new_plan:
        return "its data are looked at anew"
    if state.redrive_status != "REDRIVABLE":
        return state.redrive_reason or "Step Functions cannot redrive it"
    if _definition_changed(connection, stack, state.execution):
        return "the state machine has changed since it started"
    return ""


def _definition_changed(connection: Connection, stack: Stack, execution: Execution) -> bool:
    states = connection.client("stepfunctions")
    with translated(connection.endpoint_url):
        then = states.describe_state_machine_for_execution(executionArn=execution.arn)
        now = states.describe_state_machine(stateMachineArn=stack.train_arn)
    return then["definition"] != now["definition"]

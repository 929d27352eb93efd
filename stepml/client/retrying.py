"""Resumes a job that has ended, or trains it again from an epoch.

For 14 days, Step Functions can redrive an execution that failed, was stopped or timed out, with the
definition from its start. Otherwise a new execution takes over the epochs that the job has
finished.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, Self

from stepml.client.arguments import integer
from stepml.client.connection import Connection, translated
from stepml.client.epochs import epoch_report, finished_epochs
from stepml.client.executions import describe, start
from stepml.client.objects import find_document, is_there
from stepml.client.stack import Stack
from stepml.job import keys
from stepml.job.errors import InvalidJobError
from stepml.job.job_files import checked_job
from stepml.job.json_text import json_document
from stepml.job.names import MAX_NAME
from stepml.job.parse import parse_job
from stepml.job.reports import EndReport
from stepml.records.errors import ReportUnreadableError, RetryRefusedError, ServiceRefusedError
from stepml.records.execution import Execution, ExecutionState

CLEANUP_S = 15.0  # EventBridge invokes the clean-up within seconds
SETTLING_S = 10.0  # DescribeExecution may lag behind RedriveExecution
_AGAIN = "-again-"
_TIME = "%Y%m%d-%H%M%S"
_TIME_CHARACTERS = len("20260102-101500")
_SUFFIX_CHARACTERS = len("-e100000-r9999-t99")  # of an epoch's name, at most

Sleep = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Retried:
    """A job that has been resumed."""

    execution: Execution  # the one that trains now; the same as before if it was redriven
    how: Literal["redriven", "resumed", "restarted"]  # the last two by a new execution
    epoch: int | None  # the first one to train; None if only the model has to be written
    reason: str  # for a new execution; empty if it was redriven


def retry(
    connection: Connection,
    stack: Stack,
    execution: Execution,
    epoch: int | None,
    name: str | None,
    sleep: Sleep = time.sleep,
) -> Retried:
    """Resume a job after its finished epochs, or train it again from ``epoch``."""
    state = describe(connection, stack.name, execution)
    finished = finished_epochs(connection, stack, execution.name)
    retrier = _Retrier(connection, stack, state, finished, sleep)
    return retrier.resume(name) if epoch is None else retrier.train_again(epoch, name)


def next_name(name: str, at: time.struct_time | None = None) -> str:
    """Return the name of a new execution that continues the job ``name``."""
    stem = name.partition(_AGAIN)[0]
    longest = MAX_NAME - _SUFFIX_CHARACTERS - len(_AGAIN) - _TIME_CHARACTERS
    return f"{stem[:longest]}{_AGAIN}{time.strftime(_TIME, at or time.localtime())}"


@dataclass(frozen=True, slots=True)
class _Retrier:
    connection: Connection
    stack: Stack
    state: ExecutionState  # of the job when the retry was requested
    finished: int  # epochs
    sleep: Sleep

    def resume(self, name: str | None) -> Retried:
        _require_ended_without_model(self.state, self.finished)
        _require_job(self.state)
        _require_not_final(self.state)
        reason = "another name was requested" if name else self._why_not_redrivable()
        if reason:
            return self._resumed(name, reason)
        self._await_cleanup()
        retrier = self._counted_again()
        return retrier._resumed(name, retrier._redrive())

    def _counted_again(self) -> Self:
        """Count the epochs anew: the one that ended when the job was stopped may be finished."""
        job_id = self.state.execution.name
        return replace(self, finished=finished_epochs(self.connection, self.stack, job_id))

    def _resumed(self, name: str | None, reason: str) -> Retried:
        """Return the resumed job: by a redrive, or by a new execution for a ``reason``."""
        is_trained = self._is_trained()
        if reason:
            # If only the model is missing, the last epoch is trained once more.
            return self._start_anew(self.finished - is_trained, name, reason)
        self._await_redriven()
        known = max(self.finished, _resumed_epochs(self.state.job))  # may not be copied yet
        epoch = None if is_trained else known + 1
        return Retried(self.state.execution, "redriven", epoch, "")

    def train_again(self, epoch: int, name: str | None) -> Retried:
        job = _require_job(self.state)
        most = _last_epoch_to_retry(self.state, self.finished)
        chosen = integer(epoch)
        if chosen is None or not 1 <= chosen <= most:
            finished = _finished_epochs_text(self.state, self.finished)
            raise RetryRefusedError(f"epoch: expected 1 to {most}, as {finished}, got {epoch!r}")
        job.pop("resume_from", None)
        if chosen > 1:
            job["resume_from"] = {"job": self.state.execution.name, "epoch": chosen - 1}
        how: Literal["resumed", "restarted"] = "resumed" if chosen > 1 else "restarted"
        return Retried(self._start(job, name), how, chosen, "an epoch was given")

    def _start_anew(self, finished: int, name: str | None, reason: str) -> Retried:
        job = _require_job(self.state)
        if finished:  # without finished epochs the name may not even be claimed
            job["resume_from"] = {"job": self.state.execution.name, "epoch": finished}
        how: Literal["resumed", "restarted"] = "resumed" if finished else "restarted"
        return Retried(self._start(job, name), how, finished + 1, reason)

    def _start(self, job: dict[str, Any], name: str | None) -> Execution:
        name = name or next_name(self.state.execution.name)
        return start(self.connection, self.stack, checked_job(json.dumps(job), name), name)

    def _is_trained(self) -> bool:
        if not self.finished:
            return False
        job_id = self.state.execution.name
        last = epoch_report(self.connection, self.stack, job_id, self.finished)
        return last is not None and last.decision != "continue"

    def _why_not_redrivable(self) -> str:
        """Return the reason why a redrive is impossible or useless, or ""."""
        failure = self.state.failure
        if not self.finished and failure is not None and failure.needs_new_plan:
            return "its data are looked at anew"
        if self.state.redrive_status != "REDRIVABLE":
            return self.state.redrive_reason or "Step Functions cannot redrive it"
        if self._definition_changed():
            return "the state machine has changed since it started"
        return ""

    def _definition_changed(self) -> bool:
        states, arn = self.connection.client("stepfunctions"), self.state.execution.arn
        with translated(self.connection.endpoint_url):
            then = states.describe_state_machine_for_execution(executionArn=arn)
            now = states.describe_state_machine(stateMachineArn=self.stack.train_arn)
        return then["definition"] != now["definition"]

    def _await_cleanup(self) -> None:
        """Wait for the clean-up of the ended attempt, which would disturb the new one."""
        claim = keys.claim(self.state.execution.name)
        if not is_there(self.connection, self.stack.bucket, claim):
            return  # refused before it began, so nothing needs cleaning
        for _ in range(int(CLEANUP_S / self.connection.poll_s)):
            if self._is_cleaned_up():
                return
            self.sleep(self.connection.poll_s)

    def _is_cleaned_up(self) -> bool:
        key = keys.ended(self.state.execution.name)
        try:
            found = find_document(self.connection, self.stack.bucket, key, EndReport, key)
            if found is None or self.state.ended_at is None:
                return False
            ended_at = _to_milliseconds(self.state.ended_at)
            return datetime.fromisoformat(found.stopped_at) >= ended_at
        except (ReportUnreadableError, ValueError):
            return False

    def _redrive(self) -> str:
        """Redrive the execution; return the reason if AWS refuses, else ""."""
        try:
            with translated(self.connection.endpoint_url):
                self.connection.client("stepfunctions").redrive_execution(
                    executionArn=self.state.execution.arn
                )
        except ServiceRefusedError as error:
            if error.code != "ExecutionNotRedrivable":
                raise
            return str(error)
        return ""

    def _await_redriven(self) -> None:
        """Wait until the state before the redrive has gone: watching would end with it."""
        for _ in range(int(SETTLING_S / self.connection.poll_s)):
            now = describe(self.connection, self.stack.name, self.state.execution)
            if not now.ended or now.redrives > self.state.redrives:
                return
            self.sleep(self.connection.poll_s)


def _resumed_epochs(job: str) -> int:
    """Return the number of epochs that ``job`` takes from another job, if it says so."""
    resumed = parse_job(job).resumed
    return 0 if resumed is None else resumed.epoch or 0


def _last_epoch_to_retry(state: ExecutionState, finished: int) -> int:
    try:
        return min(finished + 1, parse_job(state.job).stop.most_epochs)
    except InvalidJobError:
        return finished + 1


def _require_ended_without_model(state: ExecutionState, finished: int) -> None:
    if state.ended and not state.succeeded:
        return
    now = "has succeeded" if state.ended else "is running"
    raise RetryRefusedError(
        f"{state.execution.name} {now}: there is nothing to retry; to train it again from an "
        f"epoch, give one (--epoch) from 1 to {_last_epoch_to_retry(state, finished)}"
    )


def _require_job(state: ExecutionState) -> dict[str, Any]:
    try:
        parse_job(state.job)
    except InvalidJobError as error:
        raise RetryRefusedError(
            f"{state.execution.name} would fail again, as its job is wrong: {error}; "
            f"correct the job and start it with: stepml run"
        ) from error
    job: dict[str, Any] = json_document(state.job)
    return job


def _require_not_final(state: ExecutionState) -> None:
    failure = state.failure
    if failure is not None and failure.is_final:
        raise RetryRefusedError(
            f"{state.execution.name} would fail again: {failure}; "
            f"correct the job and start it with: stepml run"
        )


def _finished_epochs_text(state: ExecutionState, finished: int) -> str:
    epochs = {0: "no epoch", 1: "1 epoch"}.get(finished, f"{finished} epochs")
    return f"{state.execution.name} has finished {epochs}"


def _to_milliseconds(moment: datetime) -> datetime:
    # Events have whole milliseconds.
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)

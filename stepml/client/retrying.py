"""Go on with a job that has ended, or train it again from an epoch on.

Step Functions redrives an execution that failed, was stopped or timed out, for 14 days, with the
definition that it was started with. Otherwise a new execution takes over the epochs that the job
has finished.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from stepml.client.connection import translated
from stepml.client.epochs import finished_epochs
from stepml.client.errors import ReportUnreadableError, RetryRefusedError, ServiceRefusedError
from stepml.client.execution import Execution, ExecutionState
from stepml.client.objects import find_document, is_there
from stepml.job import keys
from stepml.job.errors import InvalidJobError
from stepml.job.names import MAX_NAME
from stepml.job.parse import parse_job
from stepml.job.reports import EndReport

if TYPE_CHECKING:
    from stepml.client.client import Client

CLEANUP_S = 15.0  # EventBridge invokes the clean-up within seconds
SETTLING_S = 10.0  # DescribeExecution may lag behind RedriveExecution
_AGAIN = "-again-"
_TIME = "%Y%m%d-%H%M%S"
_TIME_CHARACTERS = len("20260102-101500")
_SUFFIX_CHARACTERS = len("-e100000-r9999-t99")  # of an epoch's name, at most

Sleep = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Retried:
    """A job that goes on."""

    execution: Execution  # what trains now: the same one if it was redriven
    how: Literal["redriven", "resumed", "restarted"]  # the last two: by a new execution
    epoch: int | None  # the first one that is trained; None: only the model is to be written
    reason: str  # why it is a new execution; empty if it is not


def retry(
    client: Client,
    execution: Execution,
    epoch: int | None,
    name: str | None,
    sleep: Sleep = time.sleep,
) -> Retried:
    """Go on with a job behind its finished epochs, or train it again from ``epoch`` on."""
    state = client.describe(execution)
    finished = finished_epochs(client.connection, client.stack, execution.name)
    if epoch is not None:
        return _train_again(client, state, finished, epoch, name)
    _require_ended_without_model(state, finished)
    _require_job(state)
    _require_mendable(state)
    reason = "another name was asked for" if name else _why_not_redrivable(client, state)
    if not reason:
        _await_cleanup(client, state, sleep)
        reason = _redrive(client, state)
    is_trained = _is_trained(client, execution, finished)
    if reason:
        # Where only the model was to be written, the last epoch is trained once more.
        return _start_anew(client, state, finished - is_trained, name, reason)
    _await_redriven(client, state, sleep)
    known = max(finished, _taken_over(state.job))  # its copies may not be there yet
    return Retried(execution, "redriven", None if is_trained else known + 1, "")


def _taken_over(job: str) -> int:
    """Return how many epochs of another job count as those of ``job``, as far as it says."""
    resumed = parse_job(job).resumed
    return 0 if resumed is None else resumed.epoch or 0


def _is_trained(client: Client, execution: Execution, finished: int) -> bool:
    last = client.epoch_report(execution, finished) if finished else None
    return last is not None and last.decision != "continue"


def _train_again(
    client: Client, state: ExecutionState, finished: int, epoch: int, name: str | None
) -> Retried:
    job = _require_job(state)
    most = _most_epoch(state, finished)
    if not 1 <= epoch <= most:
        raise RetryRefusedError(
            f"epoch: expected 1 to {most}, as {_has_finished(state, finished)}, got {epoch}"
        )
    job.pop("resume_from", None)
    if epoch > 1:
        job["resume_from"] = {"job": state.execution.name, "epoch": epoch - 1}
    started = _start(client, state, job, name)
    return Retried(started, "resumed" if epoch > 1 else "restarted", epoch, "an epoch was given")


def _start_anew(
    client: Client, state: ExecutionState, finished: int, name: str | None, reason: str
) -> Retried:
    job = _require_job(state)
    if finished:  # otherwise there is nothing to take over, maybe not even a claim of the name
        job["resume_from"] = {"job": state.execution.name, "epoch": finished}
    started = _start(client, state, job, name)
    return Retried(started, "resumed" if finished else "restarted", finished + 1, reason)


def _start(
    client: Client, state: ExecutionState, job: dict[str, Any], name: str | None
) -> Execution:
    return client.start(json.dumps(job), name or next_name(state.execution.name))


def next_name(name: str, at: time.struct_time | None = None) -> str:
    """Return the name of a new execution that goes on with the job ``name``."""
    stem = name.partition(_AGAIN)[0]
    longest = MAX_NAME - _SUFFIX_CHARACTERS - len(_AGAIN) - _TIME_CHARACTERS
    return f"{stem[:longest]}{_AGAIN}{time.strftime(_TIME, at or time.localtime())}"


def _most_epoch(state: ExecutionState, finished: int) -> int:
    """Return the last epoch that a job can be trained again from."""
    try:
        return min(finished + 1, parse_job(state.job).stop.max_epochs)
    except InvalidJobError:
        return finished + 1


def _require_ended_without_model(state: ExecutionState, finished: int) -> None:
    name = state.execution.name
    if not state.ended:
        raise RetryRefusedError(
            f"{name} runs: there is nothing to retry; to train it again from an epoch on, "
            f"give --epoch, 1 to {_most_epoch(state, finished)}"
        )
    if state.succeeded:
        raise RetryRefusedError(
            f"{name} has succeeded: there is nothing to retry; to train it again from an epoch "
            f"on, give --epoch, 1 to {_most_epoch(state, finished)}"
        )


def _require_job(state: ExecutionState) -> dict[str, Any]:
    try:
        parse_job(state.job)
    except InvalidJobError as error:
        raise RetryRefusedError(
            f"{state.execution.name} would fail again, as its job is wrong: {error}; "
            f"correct the job and start it with: stepml run"
        ) from error
    job: dict[str, Any] = json.loads(state.job)
    return job


def _require_mendable(state: ExecutionState) -> None:
    failure = state.failure
    if failure is not None and failure.is_final:
        raise RetryRefusedError(
            f"{state.execution.name} would fail again: {failure}; "
            f"correct the job and start it with: stepml run"
        )


def _has_finished(state: ExecutionState, finished: int) -> str:
    epochs = {0: "no epoch", 1: "1 epoch"}.get(finished, f"{finished} epochs")
    return f"{state.execution.name} has finished {epochs}"


def _why_not_redrivable(client: Client, state: ExecutionState) -> str:
    """Return why Step Functions cannot go on with the execution; empty if it can."""
    if state.redrive_status != "REDRIVABLE":
        return state.redrive_reason or "Step Functions cannot redrive it"
    if _definition_changed(client, state.execution):
        return "the state machine is another one than when it started"
    return ""


def _definition_changed(client: Client, execution: Execution) -> bool:
    states = client.connection.client("stepfunctions")
    with translated(client.connection.endpoint_url):
        then = states.describe_state_machine_for_execution(executionArn=execution.arn)
        now = states.describe_state_machine(stateMachineArn=client.stack.train_arn)
    return then["definition"] != now["definition"]


def _await_cleanup(client: Client, state: ExecutionState, sleep: Sleep) -> None:
    """Give the clean-up of the job's end time to pass, or it would meet the new attempt."""
    claim = keys.claim(state.execution.name)
    if not is_there(client.connection, client.stack.bucket, claim):
        return  # refused before it had begun: there is nothing to clean
    for _ in range(int(CLEANUP_S / client.connection.poll_s)):
        if _is_cleaned_up(client, state):
            return
        sleep(client.connection.poll_s)


def _is_cleaned_up(client: Client, state: ExecutionState) -> bool:
    key = keys.ended(state.execution.name)
    try:
        found = find_document(client.connection, client.stack.bucket, key, EndReport, key)
        if found is None or state.ended_at is None:
            return False
        return datetime.fromisoformat(found.stopped_at) >= _to_milliseconds(state.ended_at)
    except (ReportUnreadableError, ValueError):
        return False


def _to_milliseconds(moment: datetime) -> datetime:
    # Events tell whole milliseconds.
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _redrive(client: Client, state: ExecutionState) -> str:
    """Redrive the execution; return why AWS refuses to, empty if it does not."""
    try:
        with translated(client.connection.endpoint_url):
            client.connection.client("stepfunctions").redrive_execution(
                executionArn=state.execution.arn
            )
    except ServiceRefusedError as error:
        if error.code != "ExecutionNotRedrivable":
            raise
        return str(error)
    return ""


def _await_redriven(client: Client, before: ExecutionState, sleep: Sleep) -> None:
    """Wait until the execution's old end is not shown any more: watching would end with it."""
    for _ in range(int(SETTLING_S / client.connection.poll_s)):
        now = client.describe(before.execution)
        if not now.ended or now.redrives > before.redrives:
            return
        sleep(client.connection.poll_s)

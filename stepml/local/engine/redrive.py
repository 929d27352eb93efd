"""RedriveExecution: resumes an execution that did not succeed where it ended."""

from __future__ import annotations

import datetime
import threading
from dataclasses import dataclass
from typing import Any

from moto.core.exceptions import JsonRESTError
from moto.core.responses import ActionResult
from moto.stepfunctions.parser.api import ExecutionStatus, HistoryEventType
from moto.stepfunctions.responses import StepFunctionResponse

from stepml.local.caches import Caches
from stepml.local.engine import executions
from stepml.local.engine.checkpoints import Checkpoint
from stepml.local.engine.history import MAX_EVENTS, continue_history, event_count
from stepml.local.engine.servers import require_server
from stepml.local.seams import Seams

REDRIVABLE_PERIOD = datetime.timedelta(days=14)  # since the execution ended
MAX_OPEN_TIME = datetime.timedelta(days=365)  # since it was started
# Leaves room for ExecutionRedriven and one more event.
MAX_EVENTS_BEFORE = MAX_EVENTS - 2
CLIENT_TOKENS = 10
CLIENT_TOKEN_LIFE = datetime.timedelta(minutes=15)
# A Map whose result was too large is repeated as a whole.
DATA_LIMIT_EXCEEDED = "States.DataLimitExceeded"


@dataclass(frozen=True, slots=True)
class TakenToken:
    """A client token that has redriven an execution; a repeated request changes nothing."""

    token: str
    redrive_date: datetime.datetime


def redrive_seams(caches: Caches) -> Seams:
    """Return the seam that redrives an execution and, before it, starts its channel's server."""
    seams = Seams()

    @seams.replaces(StepFunctionResponse, "redrive_execution", why="is missing")
    def redrive_execution(self: Any) -> ActionResult:
        arn = self._get_param("executionArn")
        _require_execution_arn(arn)
        execution = self.stepfunction_backend.describe_execution(arn)
        if not_redrivable_reason(execution) is None:
            require_server(caches, execution.execution_input)
        return ActionResult({"redriveDate": redrive(execution, self._get_param("clientToken"))})

    return seams


def _require_execution_arn(arn: str) -> None:
    parts = arn.split(":", 7)
    if parts[0] != "arn" or len(parts) < 8 or parts[2] != "states":
        problem = f"Invalid ARN prefix: {arn}" if parts[0] != "arn" else arn
        raise JsonRESTError("InvalidArn", f"Invalid Arn: '{problem}'")
    if parts[5] != "execution":
        raise JsonRESTError(
            "InvalidArn", f"Invalid Arn: 'Resource type not valid in this context: {parts[5]}'"
        )


def redrive(execution: Any, client_token: str | None = None) -> datetime.datetime:
    """Run ``execution`` again from the state in which it ended; return the time of the redrive.

    Raises
    ------
    JsonRESTError
        ExecutionNotRedrivable, with the reason.
    """
    with execution.ending:
        now = datetime.datetime.now(tz=datetime.UTC)
        taken: TakenToken
        for taken in execution.redrive_tokens:
            if taken.token == client_token and now - taken.redrive_date < CLIENT_TOKEN_LIFE:
                return taken.redrive_date
        reason = not_redrivable_reason(execution)
        if reason is not None:
            raise JsonRESTError("ExecutionNotRedrivable", reason)
        worker = _next_run(execution, now)
        if client_token is not None:
            execution.redrive_tokens.append(TakenToken(client_token, now))
            del execution.redrive_tokens[:-CLIENT_TOKENS]
        execution.announce()
    executions.run(worker)
    return now


def _next_run(execution: Any, now: datetime.datetime) -> Any:
    """Replace the worker of ``execution``; the old one's threads cannot affect the new one."""
    old = execution.exec_worker.env
    whole = execution.error == DATA_LIMIT_EXCEEDED
    worker = execution._get_start_execution_worker()
    program = worker._get_evaluation_entrypoint()  # of the definition from its start
    execution.redrive_count += 1
    execution.redrive_date = now
    worker.env = worker._get_evaluation_environment()  # its context has the new count
    if old is None:  # stopped before it began
        executions.write_started(worker)
        checkpoint = None
    else:
        continue_history(worker.env, old.event_manager)
        checkpoint = old.event_manager.checkpoint or old.event_manager.resumed
        worker.env.map_run_record_pool_manager = old.map_run_record_pool_manager
    executions.enter(worker, program.start_at.start_at_name)
    if checkpoint is not None:
        _resume(worker.env, checkpoint.redriven(whole=whole))
    worker.env.event_manager.add_event(
        context=worker.env.event_history_context,
        event_type=HistoryEventType.ExecutionRedriven,
        event_details={"executionRedrivenEventDetails": {"redriveCount": execution.redrive_count}},
    )
    execution.exec_worker = worker
    execution.error = execution.cause = execution.stop_date = None
    execution.ended = threading.Event()
    execution.exec_status = ExecutionStatus.RUNNING
    return worker


def _resume(env: Any, checkpoint: Checkpoint) -> None:
    env.next_state_name = checkpoint.state
    env.states.reset(checkpoint.input)
    env.event_manager.resumed = checkpoint


def not_redrivable_reason(execution: Any) -> str | None:
    """Return Step Functions' reason why ``execution`` cannot be redriven, or None."""
    status = execution.exec_status
    now = datetime.datetime.now(tz=datetime.UTC)
    if status in {ExecutionStatus.RUNNING, ExecutionStatus.SUCCEEDED}:
        return f"Execution is {status.value} and cannot be redriven"
    if execution.state_machine.type == "EXPRESS":
        return "Execution is of an EXPRESS state machine and cannot be redriven"
    if now - execution.stop_date > REDRIVABLE_PERIOD:
        return "Execution redrivable period exceeded"
    if now - execution.start_date > MAX_OPEN_TIME:
        return "Execution has exceeded the max execution time"
    if event_count(execution) > MAX_EVENTS_BEFORE:
        return "Execution history event limit exceeded"
    return None


def redrive_description(execution: Any) -> dict[str, Any]:
    """Return DescribeExecution's fields on redrives of ``execution``."""
    reason = not_redrivable_reason(execution)
    described: dict[str, Any] = redrive_counts(execution)
    described["redriveStatus"] = "REDRIVABLE" if reason is None else "NOT_REDRIVABLE"
    if reason is not None:
        described["redriveStatusReason"] = reason
    return described


def redrive_counts(execution: Any) -> dict[str, Any]:
    """Return the number of redrives of ``execution``, and the time of the last one if any."""
    counts: dict[str, Any] = {"redriveCount": execution.redrive_count}
    if execution.redrive_date is not None:
        counts["redriveDate"] = execution.redrive_date
    return counts

"""Start, find and describe the executions of the ``train`` state machine."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from stepml.client.connection import Connection, translated
from stepml.client.continuations import continued_job
from stepml.client.stack import Stack
from stepml.job.names import MAX_NAME
from stepml.records.errors import (
    ExecutionNotFoundError,
    RunNameTakenError,
    ServiceRefusedError,
)
from stepml.records.execution import Execution, ExecutionState

_NAME = re.compile(rf"[0-9A-Za-z_-]{{1,{MAX_NAME}}}")
_EXECUTION_ARN = re.compile(r"(?P<machine>arn:[^:]+:states:.+?):(?P<name>[^:]+)")
# Events per page: the AWS maximum for the first read, then enough for two epochs.
HISTORY_PAGE, RECENT_PAGE = 1000, 25


def start(connection: Connection, stack: Stack, job: str, name: str) -> Execution:
    """Start a checked job, or raise `RunNameTakenError`."""
    try:
        with translated(connection.endpoint_url):
            answer = connection.client("stepfunctions").start_execution(
                stateMachineArn=stack.train_arn, name=name, input=job
            )
    except ServiceRefusedError as error:
        if error.code == "ExecutionAlreadyExists":
            raise RunNameTakenError(
                f"a run named {name!r} exists already; choose another name"
            ) from error
        raise
    return Execution(name, answer["executionArn"])


def named_execution(stack: Stack, name_or_arn: str) -> Execution:
    """Return the execution of ``stack`` with this name or ARN, without a request."""
    of_machine = stack.train_arn.replace(":stateMachine:", ":execution:")
    arn = _EXECUTION_ARN.fullmatch(name_or_arn)
    if arn is not None and arn["machine"] == of_machine:
        return Execution(arn["name"], name_or_arn)
    if not _NAME.fullmatch(name_or_arn):
        raise ExecutionNotFoundError(
            f"{name_or_arn!r} is neither a run's name nor an ARN that starts with {of_machine}"
        )
    return Execution(name_or_arn, f"{of_machine}:{name_or_arn}")


def describe(
    connection: Connection,
    stack_name: str,
    execution: Execution,
    hint: Callable[[], str] = lambda: "",
) -> ExecutionState:
    """Return the current state of a job.

    Raises
    ------
    ExecutionNotFoundError
        There is none, which ``hint`` ends with another name, or it continues another job.
    """
    try:
        with translated(connection.endpoint_url):
            found = connection.client("stepfunctions").describe_execution(
                executionArn=execution.arn
            )
    except ServiceRefusedError as error:
        if error.code in {"ExecutionDoesNotExist", "InvalidArn"}:
            raise ExecutionNotFoundError(
                f"no run named {execution.name!r} at {connection.place} (stack {stack_name!r})"
                f"{hint()}"
            ) from error
        raise
    if job := continued_job(found.get("input", "")):
        raise ExecutionNotFoundError(
            f"{execution.name} is a continuation of the run {job}; give that name instead"
        )
    return ExecutionState(
        execution=execution,
        status=found["status"],
        started_at=found["startDate"],
        ended_at=found.get("stopDate"),
        job=found.get("input", ""),
        error=found.get("error"),
        cause=found.get("cause"),
        redrives=found.get("redriveCount", 0),
        redrive_status=found.get("redriveStatus", ""),
        redrive_reason=found.get("redriveStatusReason", ""),
    )


def events_after(
    connection: Connection,
    execution: Execution,
    event_id: int,
    is_last: Callable[[dict[str, Any]], bool] | None = None,
) -> list[dict[str, Any]]:
    """Return the events of an execution with an id above ``event_id``, in any order.

    If ``is_last`` is given, those before the newest event for which it is true may be left out.
    """
    found: list[dict[str, Any]] = []
    pages = connection.client("stepfunctions").get_paginator("get_execution_history")
    with translated(connection.endpoint_url):
        for page in pages.paginate(
            executionArn=execution.arn,
            reverseOrder=True,  # the new ones are on the first page
            includeExecutionData=False,
            PaginationConfig={"PageSize": RECENT_PAGE if event_id or is_last else HISTORY_PAGE},
        ):
            events: list[Any] = list(page["events"])
            found += [event for event in events if event["id"] > event_id]
            if any(event["id"] <= event_id or (is_last and is_last(event)) for event in events):
                break
    return found

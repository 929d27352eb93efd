"""Stops a job and its functions."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from stepml.client.connection import Connection, translated
from stepml.client.epochs import finished_epochs
from stepml.client.objects import find_object
from stepml.client.stack import Stack
from stepml.job import keys
from stepml.job.documents import encode
from stepml.job.reports import Fence
from stepml.records.documents import read_document
from stepml.records.errors import AccessError, ReportUnreadableError, ServiceRefusedError
from stepml.records.execution import Execution, ExecutionState
from stepml.records.retry_plan import StopPlan

ERROR = "StoppedByUser"
# DescribeExecution may lag behind StopExecution.
SETTLING_S = 10.0
FENCE_ATTEMPTS = 8
_OTHERS_WROTE = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})

Describe = Callable[[], ExecutionState]


@dataclass(frozen=True, slots=True)
class Stopped:
    """The result of stopping a job."""

    state: ExecutionState  # the state after the request
    changed: bool  # False if it had ended by itself


def stop(
    connection: Connection,
    stack: Stack,
    describe: Describe,
    cause: str,
    sleep: Callable[[float], None] = time.sleep,
) -> Stopped:
    """Stop a job unless it has ended: executions at once, functions at their next batch or wait."""
    state = describe()
    if state.ended:
        return Stopped(state, changed=False)
    execution = state.execution
    with translated(connection.endpoint_url):
        stopped_at = connection.client("stepfunctions").stop_execution(
            executionArn=execution.arn, error=ERROR, cause=cause
        )["stopDate"]
    try:
        raise_fence(connection, stack, execution, stopped_at)
    except AccessError as error:
        error.args = (f"{execution.name} is stopped, but its functions may still run: {error}",)
        raise
    state = _settled(describe, connection.poll_s, sleep)
    return Stopped(state, changed=not state.ended or state.status == "ABORTED")


def stop_plan(connection: Connection, stack: Stack, state: ExecutionState) -> StopPlan:
    """Return the plan of a stop of a job in this state."""
    name = state.execution.name
    finished = finished_epochs(connection, stack, name)
    return StopPlan(name, state.status, is_running=not state.ended, finished=finished)


def raise_fence(connection: Connection, stack: Stack, job: Execution, until: datetime) -> None:
    """End the functions of all attempts that began before ``until``; keep a later fence."""
    key = keys.fence(job.name)
    fence = Fence(until=_iso(until), status="ABORTED", execution=job.name)
    for _ in range(FENCE_ATTEMPTS):
        found = find_object(connection, stack.bucket, key)
        if found is not None and _is_as_late(found["Body"].read(), key, fence):
            return
        # Conditional on the fence just read: another client may have written a later one.
        condition: Any = {"IfNoneMatch": "*"} if found is None else {"IfMatch": found["ETag"]}
        try:
            with translated(connection.endpoint_url):
                connection.client("s3").put_object(
                    Bucket=stack.bucket, Key=key, Body=encode(fence), **condition
                )
        except ServiceRefusedError as error:
            if error.code not in _OTHERS_WROTE:
                raise
        else:
            return
    raise ServiceRefusedError(
        "Conflict", f"other clients changed {key} {FENCE_ATTEMPTS} times at the same moment"
    )


def _is_as_late(content: bytes, key: str, fence: Fence) -> bool:
    try:
        found = read_document(content, Fence, key, key)
        return datetime.fromisoformat(found.until) >= datetime.fromisoformat(fence.until)
    except (ReportUnreadableError, ValueError, TypeError):  # damaged, so it is replaced
        return False


def _settled(describe: Describe, poll_s: float, sleep: Callable[[float], None]) -> ExecutionState:
    state = describe()
    for _ in range(int(SETTLING_S / poll_s)):
        if state.ended:
            break
        sleep(poll_s)
        state = describe()
    return state


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

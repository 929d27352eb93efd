"""The failed rank, found in the histories of an epoch's executions."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stepml.client import Client, Failure, connect
from stepml.client.epochs import child_failure
from stepml.job import keys
from stepml.job.documents import encode
from stepml.job.reports import Failure as Record
from tests.support.moto_stack import MotoStack

MACHINE = "arn:aws:states:us-east-1:123456789012:execution:stepml-"
CHILD, GROUP = f"{MACHINE}epoch:job-e2-r0-t1", f"{MACHINE}ranks:0a1b"
KILLED = {"error": "Runtime.ExitError", "cause": '{"errorMessage": "signal: killed"}'}
WRAPPED = {"error": "States.TaskFailed", "cause": json.dumps({"ExecutionArn": GROUP, **KILLED})}


class States:
    """A double of Step Functions with failed executions."""

    def __init__(self, executions: dict[str, dict[str, Any]]) -> None:
        self._executions = executions

    def describe_execution(self, executionArn: str) -> dict[str, Any]:
        found = self._executions[executionArn]
        return {"status": "FAILED", **{key: found[key] for key in found if key != "events"}}

    def get_execution_history(self, executionArn: str, **_: Any) -> dict[str, Any]:
        return {"events": list(reversed(self._executions[executionArn]["events"]))}


def event(number: int, kind: str, previous: int, **details: Any) -> dict[str, Any]:
    field = f"{kind[0].lower()}{kind[1:]}EventDetails"
    return {"id": number, "type": kind, "previousEventId": previous, field: details}


def iterations(name: str, *failed: int) -> list[dict[str, Any]]:
    """Return the history of a Map whose iterations failed in this order."""
    return [
        event(number, "MapIterationFailed", 0, name=name, index=index)
        for number, index in enumerate(failed, 10)
    ]


def execution(task: dict[str, Any], events: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"input": json.dumps({"epoch": 2, **task}), "events": events, **KILLED, **more}


def failure(stack: MotoStack, executions: dict[str, dict[str, Any]]) -> Failure:
    connection = connect(stack.endpoint_url)
    connection._clients["stepfunctions"] = States(executions)
    found = child_failure(connection, Client(connection).stack, "job", "job-e2-r0-t1")
    assert found is not None
    return found


def test_the_rank_is_that_of_the_iteration_that_failed_first(stack: MotoStack) -> None:
    child = execution({"ranks": [4, 5, 6]}, iterations("RunExecutors", 2, 0))

    found = failure(stack, {CHILD: child})

    assert (found.rank, found.epoch, str(found)) == (6, 2, "Runtime.ExitError: signal: killed")


@pytest.mark.parametrize(
    "events", [[], iterations("MergeChunks", 1), iterations("RunExecutors", 9)]
)
def test_where_no_rank_failed_none_is_named(stack: MotoStack, events: list[dict[str, Any]]) -> None:
    assert failure(stack, {CHILD: execution({"ranks": [0, 1]}, events)}).rank is None


def test_what_failed_before_a_redrive_is_past(stack: MotoStack) -> None:
    events = [*iterations("RunExecutors", 0), event(50, "ExecutionRedriven", 0)]
    events.append(event(60, "MapIterationFailed", 0, name="RunExecutors", index=1))

    assert failure(stack, {CHILD: execution({"ranks": [0, 1]}, events)}).rank == 1


@pytest.mark.parametrize(
    "first",
    [
        event(5, "TaskSubmitted", 4, output=json.dumps({"ExecutionArn": GROUP})),
        event(5, "TaskFailed", 4, **WRAPPED),
    ],
)
def test_the_rank_of_a_group_is_found_in_the_groups_history(
    stack: MotoStack, first: dict[str, Any]
) -> None:
    events = [first, event(6, "TaskFailed", 5), event(7, "MapIterationFailed", 6, name="RunGroups")]
    child = execution({"groups": [[0, 1], [2, 3]]}, events, **WRAPPED)
    group = execution({"ranks": [40, 41]}, iterations("RunExecutors", 1))

    found = failure(stack, {CHILD: child, GROUP: group})

    assert (found.rank, str(found)) == (41, "Runtime.ExitError: signal: killed")


def test_what_the_rank_wrote_itself_comes_first(stack: MotoStack) -> None:
    child = execution({"ranks": [0]}, iterations("RunExecutors", 0), redriveCount=3)
    record = Record(
        rank=9, epoch=2, error="BadRowError", message="a\nb", log_group="g", log_stream="s"
    )
    stack.put(keys.failure("job", "job-e2-r0-t1.3"), encode(record))

    found = failure(stack, {CHILD: child})

    assert found == Failure("BadRowError", "a b", 9, 2, "g", "s")


def test_the_reducers_record_names_its_state_and_no_rank(stack: MotoStack) -> None:
    events = [{"id": 9, "type": "TaskStateEntered", "stateEnteredEventDetails": {"name": "Reduce"}}]
    child = execution({"ranks": [0]}, events, redriveCount=4)
    record = Record(
        rank=None, epoch=2, error="DataSetDamagedError", message="a", log_group="g", log_stream="s"
    )
    stack.put(keys.failure("job", "job-e2-r0-t1.4"), encode(record))

    found = failure(stack, {CHILD: child})

    assert found == Failure("DataSetDamagedError", "a", None, 2, "g", "s", "Reduce")


def test_a_record_that_is_damaged_is_no_obstacle(stack: MotoStack) -> None:
    stack.put(keys.failure("job", "job-e2-r0-t1.0"), b"{}")
    child = execution({"ranks": [7]}, iterations("RunExecutors", 0))

    assert failure(stack, {CHILD: child}).rank == 7

"""A job that waits for functions is told from one whose functions run."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from stepml.client import Stack
from stepml.client.connection import connect_local
from stepml.client.function_waits import LOOK_S, FunctionWait, waits_for_functions
from stepml.records.errors import AccessError
from tests.services.test_nested import child
from tests.support.running_aws import RunningAws, eventually, inline_map, only, task

PROBE = "app-probe"
RETRY = [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 3600, "MaxAttempts": 1}]
RUNNING: dict[str, Any] = {"sleep_s": 3600}


@pytest.fixture(autouse=True)
def _deployed(outputs: dict[str, str]) -> None:
    """Every test needs the application's functions."""


def started(aws: RunningAws, items: list[dict[str, Any]], levels: int) -> str:
    """Start a Map over calls of a function, below ``levels`` executions, and await its calls."""
    machine = aws.machine(only(inline_map(task(PROBE, Retry=RETRY))))
    ranks = machine
    for _ in range(levels):
        machine = aws.machine(only(child(machine)))
    execution = aws.start(machine, {"items": items})
    (innermost,) = eventually(lambda: aws.executions(ranks), len)
    n_failed = sum("raises" in item for item in items)

    def kinds() -> list[str]:
        return [event["type"] for event in aws.events(innermost["executionArn"])]

    eventually(kinds, lambda seen: seen.count("TaskStarted") == len(items))
    eventually(kinds, lambda seen: seen.count("TaskFailed") == n_failed)
    return execution


@pytest.mark.parametrize("levels", [0, 1, 2])
@pytest.mark.parametrize(
    ("error", "waits"),
    [("Lambda.TooManyRequestsException", True), ("WaitTimeoutError", True), ("KeyError", False)],
)
def test_a_rank_in_back_off_waits_for_a_function(
    aws: RunningAws, error: str, waits: bool, levels: int
) -> None:
    execution = started(aws, [RUNNING, {"raises": error}], levels)
    connection = connect_local(aws.endpoint_url)
    try:
        assert waits_for_functions(connection, execution) == waits
    finally:
        aws.client("stepfunctions").stop_execution(executionArn=execution)


def test_the_other_running_jobs_are_named_as_long_as_there_is_no_progress(aws: RunningAws) -> None:
    throttled = task(PROBE, Retry=RETRY)
    machine = aws.machine(only(throttled))
    first, second = (f"{name}-{uuid.uuid4().hex[:6]}" for name in ("first", "second"))
    started = [
        aws.start(machine, {"raises": "WaitTimeoutError"}, name=name)
        for name in (first, second, f"{second}-c9-r0-t0")
    ]
    for execution in started:
        eventually(
            lambda arn=execution: [event["type"] for event in aws.events(arn)],
            lambda seen: "TaskFailed" in seen,
        )
    time = [0.0]
    stack = Stack("app", "bucket", machine, machine)
    wait = FunctionWait(connect_local(aws.endpoint_url), stack, first, lambda: time[0])

    assert wait.others(started[0], "epoch 1") is None
    time[0] = LOOK_S
    assert wait.others(started[0], "epoch 1") == (second,)
    assert wait.others(started[0], "epoch 2") is None  # progress
    time[0] += LOOK_S - 1
    assert wait.others(started[0], "epoch 2") is None  # too early
    time[0] += 1
    for execution in started[1:]:
        aws.client("stepfunctions").stop_execution(executionArn=execution)
    assert wait.others(started[0], "epoch 2") == ()
    aws.client("stepfunctions").stop_execution(executionArn=started[0])
    time[0] += LOOK_S
    assert wait.others("arn:aws:states:us-east-1:123456789012:execution:none:none", "epoch 2") == ()


def test_a_server_that_has_gone_is_an_error() -> None:
    stack = Stack("app", "bucket", "arn", "arn")
    connection = connect_local("http://127.0.0.1:9")
    wait = FunctionWait(connection, stack, "job", iter([0.0, 1.0, 100.0]).__next__)
    assert wait.others("arn", 1) is None
    with pytest.raises(AccessError):
        wait.others("arn", 1)

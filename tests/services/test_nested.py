"""Chains of child executions end together, whichever ends first."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.running_aws import RunningAws, eventually, inline_map, only, task

PROBE = "app-probe"
STOP_S = 3.0  # limit for the stop of a chain of four levels, which takes a tenth of a second


@pytest.fixture(autouse=True)
def _deployed(outputs: dict[str, str]) -> None:
    """Every test needs the application's functions."""


def child(machine: str, **fields: Any) -> dict[str, Any]:
    """Return a final Task state that runs ``machine`` with the state's input."""
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::states:startExecution.sync:2",
        "Parameters": {"StateMachineArn": machine, "Input.$": "$"},
        "OutputPath": "$.Output",
        "End": True,
        **fields,
    }


def chain(aws: RunningAws) -> list[str]:
    """Return the machines of a job, the innermost first: ranks, epoch, continuation, job."""
    ranks = aws.machine(only(inline_map(task(PROBE))))
    epoch = aws.machine(only(inline_map(child(ranks), ItemsPath="$.groups")))
    continuation = aws.machine(only(child(epoch)))
    return [ranks, epoch, continuation, aws.machine(only(child(continuation)))]


def statuses(aws: RunningAws, machine: str) -> list[str]:
    return [execution["status"] for execution in aws.executions(machine)]


def groups_of(directory: Path, n_groups: int, plan: dict[str, Any]) -> dict[str, Any]:
    plans = [
        {**plan, "calls": str(directory / f"calls-{i}"), "marker": str(directory / f"done-{i}")}
        for i in range(n_groups)
    ]
    return {"groups": [{"items": [plan]} for plan in plans]}


def test_stopping_a_job_stops_four_levels_at_once_and_no_function(
    aws: RunningAws, tmp_path: Path
) -> None:
    machines = chain(aws)
    job = aws.start(machines[-1], groups_of(tmp_path, 3, {"sleep_s": 4}))
    eventually(lambda: list(tmp_path.glob("calls-*")), lambda files: len(files) == 3)
    states = aws.client("stepfunctions")
    stopped = states.stop_execution(executionArn=job, error="StoppedByUser")
    eventually(
        lambda: [statuses(aws, machine) for machine in machines],
        lambda seen: seen == [["ABORTED"] * 3, ["ABORTED"], ["ABORTED"], ["ABORTED"]],
    )
    for machine in machines:
        for execution in aws.executions(machine):
            delay = execution["stopDate"] - stopped["stopDate"]
            assert delay.total_seconds() < STOP_S
    assert not list(tmp_path.glob("done-*"))
    eventually(lambda: list(tmp_path.glob("done-*")), lambda files: len(files) == 3)


def test_a_stopped_chain_goes_on_with_new_children(aws: RunningAws, tmp_path: Path) -> None:
    machines = chain(aws)
    job = aws.start(machines[-1], groups_of(tmp_path, 2, {"sleeps_s": [4, 0]}))
    eventually(lambda: list(tmp_path.glob("calls-*")), lambda files: len(files) == 2)
    states = aws.client("stepfunctions")
    states.stop_execution(executionArn=job)
    states.redrive_execution(executionArn=job)
    assert aws.ended(job)["status"] == "SUCCEEDED"
    # The new executions may finish before the last old one is stopped.
    eventually(lambda: statuses(aws, machines[0]), lambda seen: "RUNNING" not in seen)
    assert [sorted(statuses(aws, machine)) for machine in machines] == [
        ["ABORTED", "ABORTED", "SUCCEEDED", "SUCCEEDED"],
        ["ABORTED", "SUCCEEDED"],
        ["ABORTED", "SUCCEEDED"],
        ["SUCCEEDED"],
    ]
    time.sleep(0.5)  # the old ones do not change
    assert [execution["redriveCount"] for execution in aws.executions(machines[-1])] == [1]


def test_a_failed_iteration_stops_the_children_of_its_siblings(
    aws: RunningAws, tmp_path: Path
) -> None:
    ranks, epoch, _, _ = chain(aws)
    sleep_s = 18
    job = groups_of(tmp_path, 3, {"sleep_s": sleep_s})
    job["groups"][1]["items"][0] |= {"sleep_s": 0.5, "fails": 9}
    started = time.monotonic()
    ended = aws.run(epoch, job)
    assert ended["status"] == "FAILED"
    assert time.monotonic() - started < sleep_s
    seen = eventually(lambda: statuses(aws, ranks), lambda seen: "RUNNING" not in seen)
    assert sorted(seen) == ["ABORTED", "ABORTED", "FAILED"]
    types = [event["type"] for event in aws.events(ended["executionArn"])]
    assert types.count("MapIterationFailed") == 1
    assert types.count("MapIterationAborted") == 2


def test_a_caught_failure_of_a_map_is_not_disturbed_by_late_iterations(
    aws: RunningAws, tmp_path: Path
) -> None:
    catch = [{"ErrorEquals": ["FlakyError"], "Next": "Wait"}]
    mapped = {**inline_map(task(PROBE)), "Catch": catch}
    machine = {
        "StartAt": "Map",
        "States": {"Map": mapped, "Wait": {"Type": "Wait", "Seconds": 3, "End": True}},
    }
    plans = [
        {"fails": 9, "sleep_s": 0.5, "calls": str(tmp_path / "calls")},
        {"sleep_s": 2, "marker": str(tmp_path / "late")},
    ]
    ended = aws.run(aws.machine(machine), {"items": plans})
    assert ended["status"] == "SUCCEEDED", ended
    assert (tmp_path / "late").exists()
    types = [event["type"] for event in aws.events(ended["executionArn"])]
    assert types[-3:] == ["WaitStateEntered", "WaitStateExited", "ExecutionSucceeded"]
    assert "TaskSucceeded" not in types


def test_a_parent_sees_how_often_its_child_was_redriven(aws: RunningAws, tmp_path: Path) -> None:
    inner = aws.machine(only(task(PROBE)))
    plan = {"calls": str(tmp_path / "calls"), "fails": 1, "sleeps_s": [0, 3]}
    states = aws.client("stepfunctions")
    known = states.start_execution(
        stateMachineArn=inner, name="known", input=json.dumps(plan, separators=(",", ":"))
    )["executionArn"]
    assert aws.ended(known)["status"] == "FAILED"
    states.redrive_execution(executionArn=known)
    # The name and the input are those of a running execution, so the parent waits for that one.
    parameters = {"StateMachineArn": inner, "Name": "known", "Input.$": "$"}
    start = child(inner, Parameters=parameters, OutputPath="$.RedriveCount")
    ended = aws.run(aws.machine(only(start)), plan)
    assert (ended["status"], ended["output"]) == ("SUCCEEDED", "1")

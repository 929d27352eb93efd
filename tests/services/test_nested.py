"""Chains of child executions end together, whichever ends first."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.running_aws import RunningAws, eventually, inline_map, only, task

PROBE = "app-probe"


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
    released = tmp_path / "released"
    job = aws.start(machines[-1], groups_of(tmp_path, 3, {"awaits": [[str(released)]]}))
    eventually(lambda: list(tmp_path.glob("calls-*")), lambda files: len(files) == 3)
    states = aws.client("stepfunctions")
    states.stop_execution(executionArn=job, error="StoppedByUser")
    eventually(
        lambda: [statuses(aws, machine) for machine in machines],
        lambda seen: seen == [["ABORTED"] * 3, ["ABORTED"], ["ABORTED"], ["ABORTED"]],
    )
    assert not list(tmp_path.glob("done-*"))
    released.touch()
    eventually(lambda: list(tmp_path.glob("done-*")), lambda files: len(files) == 3)


def test_a_stopped_chain_goes_on_with_new_children(aws: RunningAws, tmp_path: Path) -> None:
    machines = chain(aws)
    released = tmp_path / "released"
    job = aws.start(machines[-1], groups_of(tmp_path, 2, {"awaits": [[str(released)], []]}))
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
    released.touch()
    time.sleep(0.5)  # the old ones do not change
    assert [execution["redriveCount"] for execution in aws.executions(machines[-1])] == [1]


def test_a_failed_iteration_stops_the_children_of_its_siblings(
    aws: RunningAws, tmp_path: Path
) -> None:
    ranks, epoch, _, _ = chain(aws)
    released = tmp_path / "released"
    job = groups_of(tmp_path, 3, {"awaits": [[str(released)]]})
    others_run = [str(tmp_path / f"calls-{i}") for i in (0, 2)]
    job["groups"][1]["items"][0] |= {"awaits": [others_run], "fails": 9}
    ended = aws.run(epoch, job)
    assert ended["status"] == "FAILED"
    seen = eventually(lambda: statuses(aws, ranks), lambda seen: "RUNNING" not in seen)
    assert sorted(seen) == ["ABORTED", "ABORTED", "FAILED"]
    types = [event["type"] for event in aws.events(ended["executionArn"])]
    assert types.count("MapIterationFailed") == 1
    assert types.count("MapIterationAborted") == 2
    released.touch()


def test_a_caught_failure_of_a_map_is_not_disturbed_by_late_iterations(
    aws: RunningAws, tmp_path: Path
) -> None:
    catch = [{"ErrorEquals": ["FlakyError"], "Next": "Caught", "ResultPath": None}]
    mapped = {**inline_map(task(PROBE)), "Catch": catch}
    caught = task(PROBE, Next="Wait", ResultPath=None)
    caught["Parameters"] = {"FunctionName": PROBE, "Payload.$": "$.caught"}
    del caught["End"], caught["OutputPath"]
    machine = {
        "StartAt": "Map",
        "States": {
            "Map": mapped,
            "Caught": caught,
            "Wait": {"Type": "Wait", "Seconds": 1, "End": True},  # the late result arrives
        },
    }
    late, after = str(tmp_path / "late"), str(tmp_path / "after")
    plans = [
        {"fails": 9, "calls": str(tmp_path / "calls"), "awaits": [[str(tmp_path / "runs")]]},
        {"calls": str(tmp_path / "runs"), "awaits": [[after]], "marker": late},
    ]
    job = {"items": plans, "caught": {"calls": after, "awaits": [[late]]}}
    ended = aws.run(aws.machine(machine), job)
    assert ended["status"] == "SUCCEEDED", ended
    types = [event["type"] for event in aws.events(ended["executionArn"])]
    assert types[-3:] == ["WaitStateEntered", "WaitStateExited", "ExecutionSucceeded"]
    assert types.count("TaskSucceeded") == 1


def test_a_parent_sees_how_often_its_child_was_redriven(aws: RunningAws, tmp_path: Path) -> None:
    inner = aws.machine(only(task(PROBE)))
    released = tmp_path / "released"
    plan = {"calls": str(tmp_path / "calls"), "fails": 1, "awaits": [[], [str(released)]]}
    states = aws.client("stepfunctions")
    known = states.start_execution(
        stateMachineArn=inner, name="known", input=json.dumps(plan, separators=(",", ":"))
    )["executionArn"]
    assert aws.ended(known)["status"] == "FAILED"
    states.redrive_execution(executionArn=known)
    # The name and the input are those of a running execution, so the parent waits for that one.
    parameters = {"StateMachineArn": inner, "Name": "known", "Input.$": "$"}
    start = child(inner, Parameters=parameters, OutputPath="$.RedriveCount")
    parent = aws.start(aws.machine(only(start)), plan)
    eventually(
        lambda: [event["type"] for event in aws.events(parent)],
        lambda types: "TaskSubmitted" in types or "TaskStarted" in types,
    )
    released.touch()
    ended = aws.ended(parent)
    assert (ended["status"], ended["output"]) == ("SUCCEEDED", "1")

"""Executions behave as in Step Functions, on a running local AWS."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.deployment import deploy
from tests.support.paths import APPLICATION
from tests.support.running_aws import (
    WAIT_S,
    RunningAws,
    eventually,
    inline_map,
    only,
    running_aws,
    task,
)

PROBE = "app-probe"


@pytest.fixture(autouse=True)
def _deployed(outputs: dict[str, str]) -> None:
    """Every test needs the application's functions."""


def job(plan: dict[str, Any], *, max_epochs: int = 1, world_size: int = 2) -> dict[str, Any]:
    return {"epoch": 0, "max_epochs": max_epochs, "ranks": list(range(world_size)), "plan": plan}


def calls(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def started_by(aws: RunningAws, machine: str, parent: str) -> list[dict[str, Any]]:
    return [e for e in aws.executions(machine) if e["name"].startswith(f"{parent}-e")]


@pytest.fixture
def released(tmp_path: Path) -> Iterator[str]:
    """The path of a file for which functions wait; it appears when the test ends."""
    path = tmp_path / "released"
    yield str(path)
    path.touch()


class TestNested:
    def test_a_child_execution_runs_for_every_epoch(
        self, aws: RunningAws, outputs: dict[str, str]
    ) -> None:
        name = f"nested-{uuid.uuid4().hex}"
        ended = aws.run(outputs["TrainStateMachineArn"], job({}, max_epochs=3), name=name)
        assert ended["status"] == "SUCCEEDED", ended
        assert json.loads(ended["output"]) == {"epoch": 2, "n_results": 2, "done": True}
        children = started_by(aws, outputs["EpochStateMachineArn"], name)
        assert [child["name"] for child in children] == [f"{name}-e{e}-r0-t0" for e in range(3)]
        assert {child["status"] for child in children} == {"SUCCEEDED"}

    def test_an_epoch_adds_eight_events_to_the_parent(
        self, aws: RunningAws, outputs: dict[str, str]
    ) -> None:
        ended = aws.run(outputs["TrainStateMachineArn"], job({}))
        types = [event["type"] for event in aws.events(ended["executionArn"])]
        assert types[1:9] == [
            "TaskStateEntered",
            "TaskScheduled",
            "TaskStarted",
            "TaskSubmitted",
            "TaskSucceeded",
            "TaskStateExited",
            "ChoiceStateEntered",
            "ChoiceStateExited",
        ]

    def test_a_failing_rank_surfaces_as_task_failed_with_its_error_inside(
        self, aws: RunningAws, outputs: dict[str, str]
    ) -> None:
        name = f"broken-{uuid.uuid4().hex}"
        ended = aws.run(outputs["TrainStateMachineArn"], job({"broken": 1}), name=name)
        assert (ended["status"], ended["error"]) == ("FAILED", "States.TaskFailed")
        child = json.loads(ended["cause"])
        assert (child["Status"], child["Error"]) == ("FAILED", "BrokenError")
        assert child["Input"]["plan"] == {"broken": 1}
        assert json.loads(child["Cause"])["errorMessage"] == "rank 1 is broken"
        # The Task's Retry has started a second child, under another name.
        children = started_by(aws, outputs["EpochStateMachineArn"], name)
        assert [child["name"][-3:] for child in children] == ["-t0", "-t1"]
        assert {child["status"] for child in children} == {"FAILED"}

    def test_a_retried_child_can_succeed(
        self, aws: RunningAws, outputs: dict[str, str], tmp_path: Path
    ) -> None:
        plan = {"fails": 1, "calls": str(tmp_path / "calls")}
        ended = aws.run(outputs["TrainStateMachineArn"], job(plan, world_size=1))
        assert ended["status"] == "SUCCEEDED", ended
        assert len(calls(tmp_path / "calls")) == 2

    def test_a_child_without_a_name_gets_one_of_its_own(
        self, aws: RunningAws, outputs: dict[str, str]
    ) -> None:
        child = aws.machine(only({"Type": "Pass", "End": True}))
        start = {
            "Type": "Task",
            "Resource": "arn:aws:states:::states:startExecution.sync:2",
            "Parameters": {"StateMachineArn": child, "Input": {"a": 1}},
            "OutputPath": "$.Output",
        }
        states = {
            "First": {**start, "Next": "Second"},
            "Second": {**start, "End": True},
        }
        ended = aws.run(aws.machine({"StartAt": "First", "States": states}))
        assert json.loads(ended["output"]) == {"a": 1}
        names = [execution["name"] for execution in aws.executions(child)]
        assert len({str(uuid.UUID(name)) for name in names}) == 2

    def test_a_taken_name_fails_the_task_by_its_own_error(
        self, aws: RunningAws, outputs: dict[str, str]
    ) -> None:
        child = aws.machine(only({"Type": "Pass", "End": True}))
        aws.run(child, {"first": True}, name="taken")
        start = {
            "Type": "Task",
            "Resource": "arn:aws:states:::states:startExecution.sync:2",
            "Parameters": {"StateMachineArn": child, "Name": "taken"},
            "End": True,
        }
        ended = aws.run(aws.machine(only(start)))
        assert ended["error"] == "StepFunctions.ExecutionAlreadyExistsException"

    def test_a_timed_out_task_stops_its_child(self, aws: RunningAws) -> None:
        child = aws.machine(only({"Type": "Wait", "Seconds": 60, "End": True}))
        start = {
            "Type": "Task",
            "Resource": "arn:aws:states:::states:startExecution.sync:2",
            "Parameters": {"StateMachineArn": child},
            "TimeoutSeconds": 1,
            "End": True,
        }
        ended = aws.run(aws.machine(only(start)))
        assert (ended["status"], ended["error"]) == ("FAILED", "States.Timeout")
        eventually(
            lambda: [execution["status"] for execution in aws.executions(child)],
            lambda statuses: statuses == ["ABORTED"],
        )


class TestFailures:
    def test_retry_matches_the_class_of_the_function_error(
        self, aws: RunningAws, tmp_path: Path
    ) -> None:
        retry = [
            {"ErrorEquals": ["BrokenError"], "IntervalSeconds": 1, "MaxAttempts": 5},
            {"ErrorEquals": ["FlakyError"], "IntervalSeconds": 1, "MaxAttempts": 2},
        ]
        machine = aws.machine(only(task(PROBE, Retry=retry)))
        plan = {"fails": 2, "calls": str(tmp_path / "calls")}
        ended = aws.run(machine, plan)
        assert ended["status"] == "SUCCEEDED", ended
        assert json.loads(ended["output"])["calls"] == 3

    def test_an_error_in_no_retry_list_ends_the_execution_at_once(
        self, aws: RunningAws, tmp_path: Path
    ) -> None:
        retry = [{"ErrorEquals": ["BrokenError"], "IntervalSeconds": 1, "MaxAttempts": 5}]
        machine = aws.machine(only(task(PROBE, Retry=retry)))
        ended = aws.run(machine, {"fails": 9, "calls": str(tmp_path / "calls")})
        assert (ended["status"], ended["error"]) == ("FAILED", "FlakyError")
        cause = json.loads(ended["cause"])
        assert (cause["errorType"], cause["errorMessage"]) == ("FlakyError", "call 1")
        assert len(calls(tmp_path / "calls")) == 1

    def test_attempts_are_counted_for_each_execution_alone(
        self, aws: RunningAws, tmp_path: Path
    ) -> None:
        retry = [{"ErrorEquals": ["FlakyError"], "IntervalSeconds": 1, "MaxAttempts": 1}]
        machine = aws.machine(only(task(PROBE, Retry=retry)))
        plans = [{"fails": 1, "calls": str(tmp_path / f"calls-{i}")} for i in range(4)]
        executions = [aws.start(machine, plan) for plan in plans]
        assert {aws.ended(execution)["status"] for execution in executions} == {"SUCCEEDED"}

    def test_a_crash_is_reported_as_exit_error(self, aws: RunningAws) -> None:
        ended = aws.run(aws.machine(only(task(PROBE))), {"exit": 7})
        assert (ended["status"], ended["error"]) == ("FAILED", "Runtime.ExitError")

    def test_a_function_over_its_own_timeout_is_reported_as_timed_out(
        self, aws: RunningAws
    ) -> None:
        functions = aws.client("lambda")
        functions.update_function_configuration(FunctionName="app-probe", Timeout=1)
        try:
            ended = aws.run(aws.machine(only(task(PROBE))), {"sleep_s": 600})
        finally:
            functions.update_function_configuration(FunctionName="app-probe", Timeout=120)
        assert (ended["status"], ended["error"]) == ("FAILED", "Sandbox.Timedout")

    def test_a_task_over_its_timeout_fails_with_states_timeout(
        self, aws: RunningAws, released: str
    ) -> None:
        machine = aws.machine(only(task(PROBE, TimeoutSeconds=1)))
        ended = aws.run(machine, {"awaits": [[released]]})
        assert (ended["status"], ended["error"]) == ("FAILED", "States.Timeout")

    def test_an_unknown_function_is_named(self, aws: RunningAws) -> None:
        ended = aws.run(aws.machine(only(task("app-nobody"))))
        assert ended["error"] == "Lambda.ResourceNotFoundException"
        assert "app-nobody" in ended["cause"]

    def test_states_errors_of_an_iteration_can_be_caught(
        self, aws: RunningAws, released: str
    ) -> None:
        slow = task(PROBE, TimeoutSeconds=1)
        catch = [{"ErrorEquals": ["States.Timeout"], "Next": "Caught"}]
        mapped = {**inline_map(slow), "Catch": catch}
        states = {"Ranks": mapped, "Caught": {"Type": "Pass", "End": True}}
        ended = aws.run(
            aws.machine({"StartAt": "Ranks", "States": states}),
            {"items": [{"awaits": [[released]]}]},
        )
        assert ended["status"] == "SUCCEEDED", ended
        assert json.loads(ended["output"])["Error"] == "States.Timeout"

    def test_throttled_tasks_are_retried_until_there_is_room(self, tmp_path: Path) -> None:
        throttled = {
            "ErrorEquals": ["Lambda.TooManyRequestsException"],
            "IntervalSeconds": 1,
            "MaxAttempts": 60,
            "BackoffRate": 1.0,
        }
        with running_aws(tmp_path, concurrency=1) as small:
            deploy(small.endpoint_url, APPLICATION / "template.yaml", stack_name="app")
            machine = small.machine(only(inline_map(task(PROBE, Retry=[throttled]))))
            released = tmp_path / "released"
            execution = small.start(machine, {"items": [{"awaits": [[str(released)]]}] * 3})

            def errors() -> list[str]:
                return [
                    event["taskFailedEventDetails"]["error"]
                    for event in small.events(execution)
                    if event["type"] == "TaskFailed"
                ]

            eventually(errors, lambda seen: len(seen) >= 2)
            released.touch()
            ended = small.ended(execution)
            assert ended["status"] == "SUCCEEDED", ended
            assert set(errors()) == {"Lambda.TooManyRequestsException"}

    def test_an_exception_inside_the_engine_ends_the_execution_as_failed(self) -> None:
        ended = subprocess.run(
            [sys.executable, "-c", BROKEN_ENGINE], capture_output=True, text=True, check=True
        )
        before_the_program, inside_the_program = json.loads(ended.stdout)
        assert before_the_program == ["FAILED", "States.Runtime", "RuntimeError(no environment)"]
        assert inside_the_program == ["FAILED", "States.Runtime", "RuntimeError(no program)"]


BROKEN_ENGINE = """
import json
from moto.stepfunctions.parser.asl.component.program.program import Program
from moto.stepfunctions.parser.backend.execution_worker import ExecutionWorker
from moto.stepfunctions.parser.models import stepfunctions_parser_backends
from stepml.local.engine import executions, history, programs
from stepml.local.engine.events import event_seams

for seams in (executions.seams, history.seams, programs.seams, event_seams(functions=None)):
    seams.apply()
backend = stepfunctions_parser_backends["123456789012"]["us-east-1"]
machine = backend.create_state_machine(
    "m",
    json.dumps({"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}}),
    "arn:aws:iam::123456789012:role/states",
)

def run(name):
    execution = backend.start_execution(machine.arn, name)
    assert execution.ended.wait(30)
    return [execution.status, execution.error, execution.cause]

def breaks(message):
    def broken(*arguments):
        raise RuntimeError(message)
    return broken

whole = ExecutionWorker._get_evaluation_environment
ExecutionWorker._get_evaluation_environment = breaks("no environment")
first = run("first")
ExecutionWorker._get_evaluation_environment = whole
Program.eval = breaks("no program")
print(json.dumps([first, run("second")]))
"""


STOPPED_EARLY = """
import json, sys, threading
from pathlib import Path
from moto.stepfunctions.parser.api import StateMachineType
from moto.stepfunctions.parser.backend.execution_worker import ExecutionWorker
from moto.stepfunctions.parser.models import stepfunctions_parser_backends
from stepml.local.server import LocalAws

aws = LocalAws(port=0, concurrency=1, state=Path(sys.argv[1]))
backend = stepfunctions_parser_backends["123456789012"]["us-east-1"]
definition = {"StartAt": "Only", "States": {"Only": {"Type": "Pass", "End": True}}}
role = "arn:aws:iam::123456789012:role/states"
machine = backend.create_state_machine("early", json.dumps(definition), role)
reached, may_go_on = threading.Event(), threading.Event()
make_environment = ExecutionWorker._get_evaluation_environment

def held(worker):
    reached.set()
    may_go_on.wait(60)
    return make_environment(worker)

ExecutionWorker._get_evaluation_environment = held
start = threading.Thread(target=backend.start_execution, args=(machine.arn, "one", "{}"))
start.start()
reached.wait(60)
(execution,) = machine.executions
execution.stop(None, "Tired", None)
may_go_on.set()
start.join(60)
worker = execution.exec_worker
print(json.dumps({
    "status": execution.exec_status.value,
    "ended": execution.ended.is_set(),
    "has_run": worker.env is not None,
}))
aws.close()
"""


class TestEnds:
    def test_a_machine_over_its_timeout_is_timed_out(self, aws: RunningAws, tmp_path: Path) -> None:
        marker, released = tmp_path / "done", tmp_path / "released"
        machine = aws.machine(only(task(PROBE), TimeoutSeconds=1))
        ended = aws.run(machine, {"awaits": [[str(released)]], "marker": str(marker)})
        assert (ended["status"], ended["error"]) == ("TIMED_OUT", "States.Timeout")
        assert ended["stopDate"] >= ended["startDate"]
        assert aws.executions(machine)[0]["stopDate"] == ended["stopDate"]
        released.touch()
        eventually(marker.exists, bool)  # the function was not killed …
        types = [event["type"] for event in aws.events(ended["executionArn"])]
        assert types[-1] == "ExecutionTimedOut"  # … and its result is not written

    def test_stopping_aborts_parent_and_child_but_no_function(
        self, aws: RunningAws, outputs: dict[str, str], tmp_path: Path
    ) -> None:
        name, marker, started = f"stop-{uuid.uuid4().hex}", tmp_path / "done", tmp_path / "calls"
        released = tmp_path / "released"
        plan = {"awaits": [[str(released)]], "marker": str(marker), "calls": str(started)}
        execution = aws.start(outputs["TrainStateMachineArn"], job(plan, world_size=1), name=name)
        eventually(started.exists, bool)
        states = aws.client("stepfunctions")
        stopped = states.stop_execution(executionArn=execution, error="Tired", cause="late")
        ended = states.describe_execution(executionArn=execution)
        assert (ended["status"], ended["error"], ended["cause"]) == ("ABORTED", "Tired", "late")
        assert ended["stopDate"] == stopped["stopDate"]
        children = eventually(
            lambda: started_by(aws, outputs["EpochStateMachineArn"], name),
            lambda seen: seen[0]["status"] != "RUNNING",
        )
        assert [child["status"] for child in children] == ["ABORTED"]
        released.touch()
        eventually(marker.exists, bool)
        time.sleep(0.5)  # a late write would have happened by now
        for arn in (execution, children[0]["executionArn"]):
            assert aws.events(arn)[-1]["type"] == "ExecutionAborted"
            assert states.describe_execution(executionArn=arn)["status"] == "ABORTED"
        assert aws.events(execution)[-1]["executionAbortedEventDetails"] == {
            "error": "Tired",
            "cause": "late",
        }

    def test_what_is_stopped_before_it_has_begun_never_runs(self, tmp_path: Path) -> None:
        # In a separate process, because the seams change moto permanently. The test stops the start
        # of the execution at the point where its environment is created.
        ended = subprocess.run(
            [sys.executable, "-c", STOPPED_EARLY, str(tmp_path)],
            capture_output=True,
            text=True,
            check=True,
            timeout=WAIT_S,
        )
        assert json.loads(ended.stdout) == {"status": "ABORTED", "ended": True, "has_run": False}

    def test_stopping_what_has_ended_changes_nothing(self, aws: RunningAws) -> None:
        ended = aws.run(aws.machine(only({"Type": "Pass", "End": True})))
        states = aws.client("stepfunctions")
        again = states.stop_execution(executionArn=ended["executionArn"], error="Late")
        assert again["stopDate"] == ended["stopDate"]
        described = states.describe_execution(executionArn=ended["executionArn"])
        assert described["status"] == "SUCCEEDED"


class TestMaps:
    def test_forty_iterations_of_an_inline_map_run_at_once(self, aws: RunningAws) -> None:
        pause = {"Type": "Wait", "Seconds": 2, "End": True}
        ended = aws.run(aws.machine(only(inline_map(pause))), {"items": list(range(45))})
        types = [event["type"] for event in aws.events(ended["executionArn"])]
        before_the_first_end = types[: types.index("MapIterationSucceeded")]
        assert before_the_first_end.count("MapIterationStarted") == 40
        assert json.loads(ended["output"]) == list(range(45))

    def test_max_concurrency_holds_below_forty(self, aws: RunningAws) -> None:
        pause = {"Type": "Wait", "Seconds": 1, "End": True}
        machine = aws.machine(only(inline_map(pause, MaxConcurrency=2)))
        ended = aws.run(machine, {"items": list(range(4))})
        types = [event["type"] for event in aws.events(ended["executionArn"])]
        before_the_first_end = types[: types.index("MapIterationSucceeded")]
        assert before_the_first_end.count("MapIterationStarted") == 2

    def test_one_worker_takes_any_number_of_items(self, aws: RunningAws) -> None:
        machine = aws.machine(only(inline_map({"Type": "Pass", "End": True}, MaxConcurrency=1)))
        ended = aws.run(machine, {"items": list(range(1200))})
        assert ended["status"] == "SUCCEEDED", ended
        assert json.loads(ended["output"]) == list(range(1200))

    def test_a_map_over_nothing_is_empty(self, aws: RunningAws) -> None:
        machine = aws.machine(only(inline_map({"Type": "Pass", "End": True})))
        assert json.loads(aws.run(machine, {"items": []})["output"]) == []


class TestContext:
    def test_the_context_has_what_names_of_children_need(self, aws: RunningAws) -> None:
        shown = {
            "Type": "Pass",
            "Parameters": {
                "id.$": "$$.Execution.Id",
                "redrives.$": "$$.Execution.RedriveCount",
                "start.$": "$$.Execution.StartTime",
            },
            "End": True,
        }
        ended = aws.run(aws.machine(only(shown)))
        context = json.loads(ended["output"])
        assert (context["id"], context["redrives"]) == (ended["executionArn"], 0)
        assert context["start"].endswith("Z")
        assert context["start"][:10] == ended["startDate"].strftime("%Y-%m-%d")

    def test_retry_count_is_seen_by_parameters(self, aws: RunningAws, tmp_path: Path) -> None:
        counted = task(
            PROBE,
            Parameters={
                "FunctionName": PROBE,
                "Payload": {
                    "attempt.$": "$$.State.RetryCount",
                    "fails": 1,
                    "calls": str(tmp_path / "calls"),
                },
            },
            Retry=[{"ErrorEquals": ["FlakyError"], "IntervalSeconds": 1, "MaxAttempts": 2}],
        )
        assert aws.run(aws.machine(only(counted)))["status"] == "SUCCEEDED"
        assert [call["attempt"] for call in calls(tmp_path / "calls")] == [0, 1]

    @pytest.mark.parametrize(("name", "status"), [("probe", "SUCCEEDED"), ("none", "FAILED")])
    def test_the_state_names_the_function(self, aws: RunningAws, name: str, status: str) -> None:
        parameters = {"FunctionName.$": "States.Format('app-{}', $.function)", "Payload": {}}
        ended = aws.run(aws.machine(only(task(PROBE, Parameters=parameters))), {"function": name})
        assert ended["status"] == status
        assert ended.get("error") in (None, "Lambda.ResourceNotFoundException")


class TestNames:
    @pytest.mark.parametrize("name", ["a b", "a/b", "a:b", "a*", "{a}", "tab\there"])
    def test_names_that_aws_refuses_are_refused(self, aws: RunningAws, name: str) -> None:
        machine = aws.machine(only({"Type": "Pass", "End": True}))
        with pytest.raises(ClientError) as refused:
            aws.start(machine, name=name)
        assert refused.value.response["Error"]["Code"] == "InvalidName"

    def test_eighty_characters_are_allowed(self, aws: RunningAws) -> None:
        machine = aws.machine(only({"Type": "Pass", "End": True}))
        assert aws.run(machine, name="n" * 80)["name"] == "n" * 80

    def test_a_name_is_taken_for_good(self, aws: RunningAws) -> None:
        machine = aws.machine(only({"Type": "Pass", "End": True}))
        aws.run(machine, name="once")
        with pytest.raises(ClientError) as refused:
            aws.start(machine, name="once")
        assert refused.value.response["Error"]["Code"] == "ExecutionAlreadyExists"

    def test_two_unnamed_executions_have_names_of_their_own(self, aws: RunningAws) -> None:
        machine = aws.machine(only({"Type": "Pass", "End": True}))
        assert aws.run(machine)["name"] != aws.run(machine)["name"]


class TestDefinitions:
    def test_a_broken_definition_is_refused_by_name(self, aws: RunningAws) -> None:
        with pytest.raises(ClientError) as refused:
            aws.machine({"StartAt": 7})
        error = refused.value.response["Error"]
        assert error["Code"] == "InvalidDefinition"
        assert "'States' must be an object with at least one state" in error["Message"]


class TestHistory:
    def test_a_history_is_read_in_pages_and_backwards(self, aws: RunningAws) -> None:
        machine = aws.machine(only(inline_map({"Type": "Pass", "End": True})))
        execution = aws.run(machine, {"items": [1, 2, 3]})["executionArn"]
        events = aws.events(execution)
        states = aws.client("stepfunctions")
        newest = states.get_execution_history(
            executionArn=execution, reverseOrder=True, maxResults=2
        )
        assert [event["id"] for event in newest["events"]] == [
            event["id"] for event in events[:-3:-1]
        ]
        rest = states.get_execution_history(
            executionArn=execution, reverseOrder=True, nextToken=newest["nextToken"]
        )
        assert len(rest["events"]) == len(events) - 2

    def test_an_execution_fails_when_its_history_is_full(self, aws: RunningAws) -> None:
        # The Map runs repeatedly; each run takes four events an iteration.
        mapped = {**inline_map({"Type": "Pass", "End": True}, ResultPath=None), "Next": "Ranks"}
        del mapped["End"]
        machine = aws.machine({"StartAt": "Ranks", "States": {"Ranks": mapped}})
        ended = aws.run(machine, {"items": list(range(1000))})
        full = "The execution reached the maximum number of history events (25000)."
        assert (ended["status"], ended["error"], ended["cause"]) == (
            "FAILED",
            "States.Runtime",
            full,
        )
        assert ended["redriveStatus"] == "NOT_REDRIVABLE"
        assert ended["redriveStatusReason"] == "Execution history event limit exceeded"
        states = aws.client("stepfunctions")
        newest = states.get_execution_history(
            executionArn=ended["executionArn"], reverseOrder=True, maxResults=2
        )["events"]
        assert [event["id"] for event in newest] == [25_000, 24_999]
        assert newest[0]["executionFailedEventDetails"] == {
            "error": "States.Runtime",
            "cause": full,
        }
        with pytest.raises(ClientError) as refused:
            states.redrive_execution(executionArn=ended["executionArn"])
        assert refused.value.response["Error"]["Code"] == "ExecutionNotRedrivable"


@pytest.mark.parametrize("end", ["stop", "failure", "parent's stop"])
def test_queued_starts_end_with_the_execution_that_waits_for_them(
    aws: RunningAws, tmp_path: Path, end: str
) -> None:
    plan = {"calls": str(tmp_path / "calls"), **({"broken": 0} if end == "failure" else {})}
    machine = aws.machine(only(inline_map(task("app-executor"))))
    items = {"items": [{"rank": rank, "plan": plan} for rank in range(40)]}
    if end == "parent's stop":
        child = {"StateMachineArn": machine, "Input.$": "$"}
        resource = "arn:aws:states:::states:startExecution.sync:2"
        call = {"Type": "Task", "Resource": resource, "Parameters": child, "End": True}
        machine = aws.machine(only(call))
    go = tmp_path / "go"
    start = {"START_S": "1"} if end == "failure" else {"START_AWAITS": str(go)}
    with cold_starts(aws, start):
        execution = aws.start(machine, items)
        if end != "failure":
            eventually(
                lambda: {each["state"] for each in of_executor(aws)},
                lambda seen: "starting" in seen,
            )
            aws.client("stepfunctions").stop_execution(executionArn=execution)
        aws.ended(execution)
        go.touch()
        eventually(
            lambda: of_executor(aws), lambda left: {each["state"] for each in left} <= {"idle"}
        )
    (tmp_path / "calls").touch()  # perhaps none has run
    assert len(calls(tmp_path / "calls")) < 40


@contextmanager
def cold_starts(aws: RunningAws, start: dict[str, str]) -> Iterator[None]:
    """Let the cold starts of ``app-executor`` be as its variables say; no process is warm."""
    functions, name = aws.client("lambda"), "app-executor"
    before = functions.get_function_configuration(FunctionName=name)["Environment"]
    # Processes of an equal configuration may still be idle.
    variables = before["Variables"] | start | {"UNIQUE": uuid.uuid4().hex}
    functions.update_function_configuration(FunctionName=name, Environment={"Variables": variables})
    try:
        yield
    finally:
        functions.update_function_configuration(FunctionName=name, Environment=before)


def of_executor(aws: RunningAws) -> list[dict[str, Any]]:
    """Return the processes of the function ``app-executor``."""
    return [each for each in aws.status()["environments"] if each["function"] == "app-executor"]

"""RedriveExecution: the parts that run again, the parts that stay, and refusals."""

from __future__ import annotations

import datetime
import json
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.stepfunctions.parser.api import ExecutionStatus

from stepml.local.engine.history import MAX_EVENTS
from stepml.local.engine.redrive import not_redrivable_reason
from tests.support.running_aws import RunningAws, eventually, inline_map, only, task

PROBE = "app-probe"


@pytest.fixture(autouse=True)
def _deployed(outputs: dict[str, str]) -> None:
    """Every test needs the application's functions."""


def redrive(aws: RunningAws, execution: str, **settings: Any) -> datetime.datetime:
    answer = aws.client("stepfunctions").redrive_execution(executionArn=execution, **settings)
    date: datetime.datetime = answer["redriveDate"]
    return date


def redriven(aws: RunningAws, execution: str) -> dict[str, Any]:
    """Redrive an execution and wait for its end."""
    redrive(aws, execution)
    return aws.ended(execution)


def n_calls(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


def require_whole_history(events: list[dict[str, Any]]) -> None:
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    ends = [i for i, e in enumerate(events) if e["type"].startswith("Execution")]
    kinds = [events[i]["type"] for i in ends]
    assert kinds[0] == "ExecutionStarted"
    # A redrive follows each end but the last at once: nothing was late.
    for i in ends[1:-1:2]:
        assert events[i + 1]["type"] == "ExecutionRedriven", kinds


def two_steps(second: dict[str, Any]) -> dict[str, Any]:
    """Return a machine with a first state that records its calls, and the state ``second``."""
    first = task(PROBE, Parameters={"FunctionName": PROBE, "Payload.$": "$.first"}, ResultPath=None)
    del first["End"], first["OutputPath"]
    return {"StartAt": "First", "States": {"First": {**first, "Next": "Second"}, "Second": second}}


def second_task(**fields: Any) -> dict[str, Any]:
    return task(PROBE, Parameters={"FunctionName": PROBE, "Payload.$": "$.second"}, **fields)


class TestGoesOn:
    def test_the_failed_state_runs_again_and_those_before_it_do_not(
        self, aws: RunningAws, tmp_path: Path
    ) -> None:
        machine = aws.machine(two_steps(second_task()))
        plans = {
            "first": {"calls": str(tmp_path / "first")},
            "second": {"calls": str(tmp_path / "second"), "fails": 1},
        }
        failed = aws.run(machine, plans)
        assert (failed["status"], failed["redriveStatus"]) == ("FAILED", "REDRIVABLE")
        assert (failed["redriveCount"], "redriveDate" in failed) == (0, False)
        before = aws.events(failed["executionArn"])
        ended = redriven(aws, failed["executionArn"])
        assert ended["status"] == "SUCCEEDED", ended
        assert json.loads(ended["output"])["calls"] == 2
        assert n_calls(tmp_path / "first") == 1
        assert (ended["startDate"], "error" in ended) == (failed["startDate"], False)
        assert ended["stopDate"] >= ended["redriveDate"] >= failed["stopDate"]
        assert (ended["redriveCount"], ended["redriveStatus"]) == (1, "NOT_REDRIVABLE")
        assert ended["redriveStatusReason"] == "Execution is SUCCEEDED and cannot be redriven"
        events = aws.events(failed["executionArn"])
        require_whole_history(events)
        assert events[: len(before)] == before
        assert events[len(before)]["executionRedrivenEventDetails"] == {"redriveCount": 1}

    def test_a_redriven_execution_can_be_redriven_with_its_retries_counted_anew(
        self, aws: RunningAws, tmp_path: Path
    ) -> None:
        retry = [{"ErrorEquals": ["FlakyError"], "IntervalSeconds": 1, "MaxAttempts": 1}]
        machine = aws.machine(only(task(PROBE, Retry=retry)))
        plan = {"calls": str(tmp_path / "calls"), "fails": 5}
        execution = aws.run(machine, plan)["executionArn"]
        calls = [n_calls(tmp_path / "calls")]
        for _ in range(2):
            ended = redriven(aws, execution)
            calls.append(n_calls(tmp_path / "calls"))
        assert calls == [2, 4, 6]
        assert (ended["status"], ended["redriveCount"]) == ("SUCCEEDED", 2)
        require_whole_history(aws.events(execution))

    def test_the_context_has_count_and_time_of_the_redrive(
        self, aws: RunningAws, tmp_path: Path
    ) -> None:
        name = "States.Format('r{}-t{}', $$.Execution.RedriveCount, $$.State.RetryCount)"
        payload = {"name.$": name, "context.$": "$$.Execution", "fails": 1}
        payload["calls"] = str(tmp_path / "calls")
        shown = task(PROBE, Parameters={"FunctionName": PROBE, "Payload": payload})
        execution = aws.run(aws.machine(only(shown)))["executionArn"]
        ended = redriven(aws, execution)
        lines = (tmp_path / "calls").read_text().splitlines()
        first, second = (json.loads(line) for line in lines)
        assert (first["name"], second["name"]) == ("r0-t0", "r1-t0")
        assert "RedriveTime" not in first["context"]
        assert (
            second["context"]["RedriveTime"][:19]
            == (ended["redriveDate"].astimezone(datetime.UTC).isoformat()[:19])
        )

    def test_a_child_starts_anew_under_another_name(
        self, aws: RunningAws, outputs: dict[str, str], tmp_path: Path
    ) -> None:
        name = f"redriven-{uuid.uuid4().hex}"
        plan = {"calls": str(tmp_path / "calls"), "fails": 2}
        job = {"epoch": 0, "max_epochs": 1, "ranks": [0], "plan": plan}
        failed = aws.run(outputs["TrainStateMachineArn"], job, name=name)
        assert failed["status"] == "FAILED"
        ended = redriven(aws, failed["executionArn"])
        assert ended["status"] == "SUCCEEDED", ended
        children = {
            child["name"].removeprefix(name): (child["status"], child["redriveCount"])
            for child in aws.executions(outputs["EpochStateMachineArn"])
            if child["name"].startswith(name)
        }
        assert children == {
            "-e0-r0-t0": ("FAILED", 0),
            "-e0-r0-t1": ("FAILED", 0),
            "-e0-r1-t0": ("SUCCEEDED", 0),
        }

    def test_what_was_stopped_goes_on_while_its_old_function_still_runs(
        self, aws: RunningAws, tmp_path: Path
    ) -> None:
        calls, marker = tmp_path / "calls", tmp_path / "done"
        first, second = (str(tmp_path / name) for name in ("first", "second"))
        plan = {"calls": str(calls), "awaits": [[first], [second]], "marker": str(marker)}
        execution = aws.start(aws.machine(only(task(PROBE))), plan)
        eventually(calls.exists, bool)
        aws.client("stepfunctions").stop_execution(executionArn=execution, error="Tired")
        redrive(aws, execution)
        eventually(lambda: n_calls(calls), lambda n: n == 2)
        Path(first).touch()
        eventually(marker.exists, bool)  # the first function has returned
        time.sleep(0.3)
        assert (
            aws.client("stepfunctions").describe_execution(executionArn=execution)["status"]
            == "RUNNING"
        )
        Path(second).touch()
        ended = aws.ended(execution)
        assert ended["status"] == "SUCCEEDED", ended
        assert json.loads(ended["output"])["calls"] == 2
        events = aws.events(execution)
        require_whole_history(events)
        assert Counter(event["type"] for event in events)["TaskSucceeded"] == 1

    def test_the_timeout_of_the_machine_begins_again(self, aws: RunningAws, tmp_path: Path) -> None:
        released, timeout_s = tmp_path / "released", 3
        plan = {"calls": str(tmp_path / "calls"), "awaits": [[str(released)], []]}
        machine = aws.machine(only(task(PROBE), TimeoutSeconds=timeout_s))
        timed_out = aws.run(machine, plan)
        assert (timed_out["status"], timed_out["redriveStatus"]) == ("TIMED_OUT", "REDRIVABLE")
        ended = redriven(aws, timed_out["executionArn"])
        took = ended["stopDate"] - ended["redriveDate"]
        # On a machine that stands still, the second run may take as long, too.
        assert ended["status"] == "SUCCEEDED" or took.total_seconds() >= timeout_s, ended
        released.touch()
        time.sleep(0.5)  # the first function returns meanwhile
        require_whole_history(aws.events(timed_out["executionArn"]))

    def test_a_fail_state_fails_again(self, aws: RunningAws) -> None:
        execution = aws.run(aws.machine(only({"Type": "Fail", "Error": "Broken"})))["executionArn"]
        ended = redriven(aws, execution)
        assert (ended["status"], ended["error"], ended["redriveCount"]) == ("FAILED", "Broken", 1)

    def test_the_definition_is_that_of_the_start(self, aws: RunningAws, tmp_path: Path) -> None:
        states = aws.client("stepfunctions")
        machine = aws.machine(only(task(PROBE)))
        plan = {"calls": str(tmp_path / "calls"), "fails": 1}
        execution = aws.run(machine, plan)["executionArn"]
        begun = states.describe_state_machine_for_execution(executionArn=execution)
        current = states.describe_state_machine(stateMachineArn=machine)
        assert begun["definition"] == current["definition"]
        assert "revisionId" not in begun
        assert "revisionId" not in current
        changed = json.dumps(only({"Type": "Fail", "Error": "Changed"}))
        states.update_state_machine(stateMachineArn=machine, definition=changed)
        assert redriven(aws, execution)["status"] == "SUCCEEDED"
        again = states.describe_state_machine_for_execution(executionArn=execution)
        assert again["definition"] == begun["definition"]
        current = states.describe_state_machine(stateMachineArn=machine)
        assert current["definition"] == changed
        assert current["revisionId"] != again.get("revisionId")
        newer = aws.run(machine)["executionArn"]
        assert (
            states.describe_state_machine_for_execution(executionArn=newer)["revisionId"]
            == current["revisionId"]
        )


class TestMaps:
    def test_only_iterations_that_failed_or_were_aborted_run_again(
        self, aws: RunningAws, tmp_path: Path
    ) -> None:
        notes = [tmp_path / f"calls-{i}" for i in range(4)]
        done = [str(tmp_path / f"done-{i}") for i in range(4)]
        released = tmp_path / "released"
        plans: list[dict[str, Any]] = [
            {"calls": str(note), "marker": marker} for note, marker in zip(notes, done, strict=True)
        ]
        # It fails after the others have finished …
        others_ended = tmp_path / "others-ended"
        plans[1] |= {"fails": 1, "awaits": [[str(others_ended)], []]}
        plans[2] |= {"awaits": [[str(released)], []]}  # … except this one: its result is late
        execution = aws.start(aws.machine(only(inline_map(task(PROBE)))), {"items": plans})
        eventually(
            lambda: Counter(event["type"] for event in aws.events(execution)),
            lambda types: types["MapIterationSucceeded"] == 2 and notes[2].exists(),
        )
        others_ended.touch()
        failed = aws.ended(execution)
        assert (failed["status"], failed["error"]) == ("FAILED", "FlakyError")
        ended = redriven(aws, failed["executionArn"])
        assert ended["status"] == "SUCCEEDED", ended
        assert [n_calls(note) for note in notes] == [1, 2, 2, 1]
        output = json.loads(ended["output"])
        assert [result["calls"] for result in output] == [1, 2, 2, 1]
        assert [result["event"] for result in output] == plans
        released.touch()
        time.sleep(1)  # the late one has returned
        events = aws.events(failed["executionArn"])
        require_whole_history(events)
        iterations = Counter(
            (event["type"], event[f"m{event['type'][1:]}EventDetails"]["index"])
            for event in events
            if event["type"].startswith("MapIteration") and "Started" not in event["type"]
        )
        assert iterations == {
            ("MapIterationSucceeded", 0): 1,
            ("MapIterationFailed", 1): 1,
            ("MapIterationSucceeded", 1): 1,
            ("MapIterationAborted", 2): 1,
            ("MapIterationSucceeded", 2): 1,
            ("MapIterationSucceeded", 3): 1,
        }

    def test_results_are_kept_over_several_redrives(self, aws: RunningAws, tmp_path: Path) -> None:
        notes = [tmp_path / f"calls-{i}" for i in range(3)]
        plans = [{"calls": str(note), "fails": i} for i, note in enumerate(notes)]
        machine = aws.machine(only(inline_map(task(PROBE), MaxConcurrency=1)))
        execution = aws.run(machine, {"items": plans})["executionArn"]
        statuses = [redriven(aws, execution)["status"] for _ in range(3)]
        assert statuses == ["FAILED", "FAILED", "SUCCEEDED"]
        assert [n_calls(note) for note in notes] == [1, 2, 3]

    def test_all_iterations_run_again_when_their_results_were_too_large(
        self, aws: RunningAws, tmp_path: Path
    ) -> None:
        notes = [tmp_path / f"calls-{i}" for i in range(3)]
        plans = [{"calls": str(note), "pad_bytes": 100_000} for note in notes]
        failed = aws.run(aws.machine(only(inline_map(task(PROBE)))), {"items": plans})
        assert (failed["status"], failed["error"]) == ("FAILED", "States.DataLimitExceeded")
        redriven(aws, failed["executionArn"])
        assert [n_calls(note) for note in notes] == [2, 2, 2]

    def test_a_retried_map_runs_all_its_iterations(self, aws: RunningAws, tmp_path: Path) -> None:
        notes = [tmp_path / f"calls-{i}" for i in range(2)]
        plans = [{"calls": str(note), "fails": 2 * i} for i, note in enumerate(notes)]
        retry = [{"ErrorEquals": ["FlakyError"], "IntervalSeconds": 1, "MaxAttempts": 1}]
        mapped = inline_map(task(PROBE), MaxConcurrency=1, Retry=retry)
        execution = aws.run(aws.machine(only(mapped)), {"items": plans})["executionArn"]
        assert [n_calls(note) for note in notes] == [2, 2]
        assert redriven(aws, execution)["status"] == "SUCCEEDED"
        assert [n_calls(note) for note in notes] == [2, 3]


class TestRefusals:
    def refused(self, aws: RunningAws, execution: str) -> tuple[str, str]:
        with pytest.raises(ClientError) as refused:
            redrive(aws, execution)
        error = refused.value.response["Error"]
        return error["Code"], error["Message"]

    def test_what_runs_or_has_succeeded_is_not_redriven(self, aws: RunningAws) -> None:
        machine = aws.machine(only({"Type": "Wait", "SecondsPath": "$.s", "End": True}))
        running = aws.start(machine, {"s": 60})
        assert self.refused(aws, running) == (
            "ExecutionNotRedrivable",
            "Execution is RUNNING and cannot be redriven",
        )
        described = aws.client("stepfunctions").describe_execution(executionArn=running)
        assert described["redriveStatus"] == "NOT_REDRIVABLE"
        aws.client("stepfunctions").stop_execution(executionArn=running)
        succeeded = aws.run(machine, {"s": 1})["executionArn"]
        assert self.refused(aws, succeeded) == (
            "ExecutionNotRedrivable",
            "Execution is SUCCEEDED and cannot be redriven",
        )

    def test_what_does_not_exist_is_named(self, aws: RunningAws) -> None:
        machine = aws.machine(only({"Type": "Pass", "End": True}))
        absent = machine.replace(":stateMachine:", ":execution:") + ":absent"
        assert self.refused(aws, absent) == (
            "ExecutionDoesNotExist",
            f"Execution Does Not Exist: '{absent}'",
        )
        assert self.refused(aws, machine)[0] == "InvalidArn"
        assert self.refused(aws, "nonsense") == (
            "InvalidArn",
            "Invalid Arn: 'Invalid ARN prefix: nonsense'",
        )

    @pytest.mark.parametrize(
        ("ended_days_ago", "n_events", "kind", "reason"),
        [
            (13.9, MAX_EVENTS - 2, "STANDARD", None),
            (14.1, 10, "STANDARD", "Execution redrivable period exceeded"),
            (1, MAX_EVENTS - 1, "STANDARD", "Execution history event limit exceeded"),
            (1, 10, "EXPRESS", "Execution is of an EXPRESS state machine and cannot be redriven"),
        ],
    )
    def test_old_long_and_express_executions_are_not_redriven(
        self, ended_days_ago: float, n_events: int, kind: str, reason: str | None
    ) -> None:
        ended = datetime.datetime.now(tz=datetime.UTC) - datetime.timedelta(days=ended_days_ago)
        manager = SimpleNamespace(_history_event_list=[{}] * n_events)
        execution = SimpleNamespace(
            exec_status=ExecutionStatus.FAILED,
            state_machine=SimpleNamespace(type=kind),
            start_date=ended,
            stop_date=ended,
            exec_worker=SimpleNamespace(env=SimpleNamespace(event_manager=manager)),
        )
        assert not_redrivable_reason(execution) == reason

    def test_a_client_token_redrives_once(self, aws: RunningAws) -> None:
        execution = aws.run(aws.machine(only({"Type": "Fail", "Error": "Broken"})))["executionArn"]
        token = uuid.uuid4().hex
        first = redrive(aws, execution, clientToken=token)
        aws.ended(execution)
        assert redrive(aws, execution, clientToken=token) == first
        assert aws.ended(execution)["redriveCount"] == 1
        assert redrive(aws, execution, clientToken=uuid.uuid4().hex) > first
        assert aws.ended(execution)["redriveCount"] == 2


class TestLists:
    def test_executions_are_listed_by_status_and_redrives(self, aws: RunningAws) -> None:
        machine = aws.machine(only({"Type": "Fail", "Error": "Broken"}))
        once, twice = aws.run(machine)["executionArn"], aws.run(machine)["executionArn"]
        date = redriven(aws, twice)["redriveDate"]
        states = aws.client("stepfunctions")

        def listed(**filters: str) -> dict[str, tuple[int, Any]]:
            found = states.list_executions(stateMachineArn=machine, **filters)["executions"]
            return {
                item["executionArn"]: (item["redriveCount"], item.get("redriveDate"))
                for item in found
            }

        assert listed() == {once: (0, None), twice: (1, date)}
        assert set(listed(redriveFilter="REDRIVEN")) == {twice}
        assert set(listed(redriveFilter="NOT_REDRIVEN")) == {once}
        assert set(listed(statusFilter="FAILED")) == {once, twice}
        assert listed(statusFilter="RUNNING") == {}

    def test_the_next_page_comes_although_the_last_item_no_longer_passes_the_filter(
        self, aws: RunningAws
    ) -> None:
        machine = aws.machine(only({"Type": "Wait", "Seconds": 60, "End": True}))
        older, newer = aws.start(machine), aws.start(machine)
        states = aws.client("stepfunctions")
        running = {"stateMachineArn": machine, "statusFilter": "RUNNING", "maxResults": 1}
        first = states.list_executions(**running)
        states.stop_execution(executionArn=newer)
        aws.ended(newer)
        second = states.list_executions(**running, nextToken=first["nextToken"])
        states.stop_execution(executionArn=older)

        pages = [[each["executionArn"] for each in page["executions"]] for page in (first, second)]
        assert pages == [[newer], [older]]
        assert "nextToken" not in second


class TestConcurrency:
    def test_many_executions_stopped_and_redriven_at_once_all_succeed(
        self, aws: RunningAws, tmp_path: Path
    ) -> None:
        mapped = inline_map(task(PROBE), MaxConcurrency=2)
        machine = aws.machine(only(mapped))

        def torment(i: int) -> dict[str, Any]:
            states = aws.client("stepfunctions")
            plans = [{"sleep_s": 0.2, "calls": str(tmp_path / f"{i}-{j}")} for j in range(3)]
            execution = aws.start(machine, {"items": plans})
            for pause_s in (0.0, 0.3, 0.5):
                time.sleep(pause_s)
                states.stop_execution(executionArn=execution)
                redrive_or_succeeded(states, execution)
            return aws.ended(execution)

        def redrive_or_succeeded(states: Any, execution: str) -> None:
            try:
                states.redrive_execution(executionArn=execution)
            except ClientError:
                assert states.describe_execution(executionArn=execution)["status"] == "SUCCEEDED"

        with ThreadPoolExecutor(8) as threads:
            ends = list(threads.map(torment, range(8)))
        assert {ended["status"] for ended in ends} == {"SUCCEEDED"}
        for ended in ends:
            assert len(json.loads(ended["output"])) == 3
            require_whole_history(aws.events(ended["executionArn"]))

"""The parts of Amazon States Language that StepML's state machines use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.running_aws import ROLE, RunningAws, inline_map, only, task

PROBE = "app-probe"


def passed(aws: RunningAws, parameters: dict[str, Any], given: Any) -> dict[str, Any]:
    """Return the result of a Pass state with ``parameters`` for the input ``given``."""
    machine = aws.machine(only({"Type": "Pass", "Parameters": parameters, "End": True}))
    return aws.run(machine, given)


@pytest.mark.parametrize(
    ("path", "given", "selected"),
    [
        ("$.groups[*].executors[*]", {"groups": [{"executors": [{"r": 0}]}]}, [{"r": 0}]),
        (
            "$.groups[*].executors[*]",
            {"groups": [{"executors": [{"r": 0}, {"r": 1}]}, {"executors": [{"r": 2}]}]},
            [{"r": 0}, {"r": 1}, {"r": 2}],
        ),
        ("$.groups[*].executors[*]", {"groups": []}, []),
        ("$.groups[*].executors[*]", {"groups": [{"executors": []}]}, []),
        ("$.groups[*][*]", {"groups": [[1, 2], [3]]}, [1, 2, 3]),
        ("$.groups[*].a.b", {"groups": [{"a": {"b": 1}}]}, [1]),
        ("$.groups[0].a", {"groups": [{"a": 1}]}, 1),
        ("$.groups[0].a", {"groups": [{"a": [1]}]}, [1]),
        ("$.groups[1:]", {"groups": [1, 2]}, [2]),
        ("$.groups..r", {"groups": [{"r": 1}]}, [1]),
        ("$['a:b'].c", {"a:b": {"c": None}}, None),
    ],
)
def test_paths_select_as_in_step_functions(
    aws: RunningAws, path: str, given: Any, selected: Any
) -> None:
    ended = passed(aws, {"selected.$": path}, given)
    assert ended["status"] == "SUCCEEDED", ended
    assert json.loads(ended["output"]) == {"selected": selected}


@pytest.mark.parametrize("path", ["$.absent", "$.absent[*].a", "$.groups[7]"])
def test_a_path_to_nothing_fails(aws: RunningAws, path: str) -> None:
    ended = passed(aws, {"selected.$": path}, {"groups": []})
    assert (ended["status"], ended["error"]) == ("FAILED", "States.Runtime")
    assert path in ended["cause"]


def test_a_result_selector_flattens_the_results_of_a_map(aws: RunningAws) -> None:
    inner = inline_map({"Type": "Pass", "End": True})
    outer = inline_map(
        {**inner, "ItemsPath": "$", "ResultSelector": {"executors.$": "$"}},
        ResultSelector={"executors.$": "$[*].executors[*]", "n.$": "States.ArrayLength($)"},
    )
    inner["ItemProcessor"] = {
        "ProcessorConfig": {"Mode": "INLINE"},
        "StartAt": "Inner",
        "States": {"Inner": {"Type": "Pass", "End": True}},
    }
    machine = aws.machine(only({**outer}))
    ended = aws.run(machine, {"items": [[{"rank": 0}, {"rank": 1}], [{"rank": 2}]]})
    assert ended["status"] == "SUCCEEDED", ended
    assert json.loads(ended["output"]) == {
        "executors": [{"rank": 0}, {"rank": 1}, {"rank": 2}],
        "n": 2,
    }


def test_the_concurrency_of_a_map_may_come_from_the_input(aws: RunningAws) -> None:
    pause = {"Type": "Wait", "Seconds": 1, "End": True}
    machine = aws.machine(only(inline_map(pause, MaxConcurrencyPath="$.at_once")))
    ended = aws.run(machine, {"items": [1, 2, 3], "at_once": 2})
    types = [event["type"] for event in aws.events(ended["executionArn"])]
    before_the_first_end = types[: types.index("MapIterationSucceeded")]
    assert before_the_first_end.count("MapIterationStarted") == 2


@pytest.mark.parametrize(
    ("given", "end"),
    [
        ({"next": 7, "limit": 7}, "Reached"),
        ({"next": 8, "limit": 7}, "Reached"),
        ({"next": 6, "limit": 7}, "Below"),
        ({"next": 8}, "Below"),
    ],
)
def test_a_choice_compares_two_fields_and_sees_whether_one_is_there(
    aws: RunningAws, given: dict[str, int], end: str
) -> None:
    reached = {
        "And": [
            {"Variable": "$.limit", "IsPresent": True},
            {"Variable": "$.next", "NumericGreaterThanEqualsPath": "$.limit"},
        ],
        "Next": "Reached",
    }
    ends = {name: {"Type": "Pass", "Result": name, "End": True} for name in ("Reached", "Below")}
    choice = {"Type": "Choice", "Choices": [reached], "Default": "Below"}
    machine = aws.machine({"StartAt": "Choice", "States": {"Choice": choice, **ends}})
    assert json.loads(aws.run(machine, given)["output"]) == end


def test_a_machine_starts_itself_by_the_context_object(aws: RunningAws) -> None:
    again = {
        "Type": "Task",
        "Resource": "arn:aws:states:::states:startExecution.sync:2",
        "Parameters": {
            "StateMachineArn.$": "$$.StateMachine.Id",
            "Name.$": "States.Format('{}-c1', $$.Execution.Name)",
            "Input": {"continues.$": "$$.Execution.Name"},
        },
        "OutputPath": "$.Output",
        "End": True,
    }
    choice = {
        "Type": "Choice",
        "Choices": [{"Variable": "$.continues", "IsPresent": True, "Next": "Done"}],
        "Default": "Continue",
    }
    states = {"Begun?": choice, "Continue": again, "Done": {"Type": "Pass", "End": True}}
    machine = aws.machine({"StartAt": "Begun?", "States": states})
    ended = aws.run(machine, name="first")
    assert json.loads(ended["output"]) == {"continues": "first"}
    assert [execution["name"] for execution in aws.executions(machine)] == ["first", "first-c1"]


def test_a_taken_name_is_tried_again_under_another_one(
    aws: RunningAws, outputs: dict[str, str], tmp_path: Path
) -> None:
    child = aws.machine(only(task(PROBE)))
    quick = {"IntervalSeconds": 1, "BackoffRate": 1}
    start = {
        "Type": "Task",
        "Resource": "arn:aws:states:::states:startExecution.sync:2",
        "Parameters": {
            "StateMachineArn": child,
            "Name.$": "States.Format('child-t{}', $$.State.RetryCount)",
            "Input.$": "$",
        },
        "OutputPath": "$.Output.calls",
        "Retry": [
            {"ErrorEquals": ["StepFunctions.ExecutionAlreadyExistsException"], **quick},
            {"ErrorEquals": ["States.TaskFailed"], **quick, "MaxAttempts": 1},
        ],
        "End": True,
    }
    aws.run(child, {}, name="child-t0")
    aws.run(child, {}, name="child-t2")
    # t0 is taken, t1 fails, t2 is taken, t3 succeeds: each retrier counts its own errors.
    plan = {"fails": 1, "calls": str(tmp_path / "calls")}
    ended = aws.run(aws.machine(only(start)), plan)
    assert (ended["status"], json.loads(ended["output"])) == ("SUCCEEDED", 2)
    names = [execution["name"] for execution in aws.executions(child)]
    assert names == ["child-t0", "child-t2", "child-t1", "child-t3"]


def test_a_valid_machine_that_cannot_run_here_is_refused_before_it_runs(aws: RunningAws) -> None:
    states = aws.client("stepfunctions")
    jsonata = json.dumps(
        only({"Type": "Pass", "Output": "{% 1 + 2 %}", "End": True}, QueryLanguage="JSONata")
    )
    machine = aws.machine(only({"Type": "Succeed"}))
    refusal = "InvalidDefinition.*the local AWS has no JSONata: use JSONPath at /QueryLanguage"

    assert states.validate_state_machine_definition(definition=jsonata)["result"] == "OK"
    for request in (
        lambda: states.create_state_machine(name="jsonata", definition=jsonata, roleArn=ROLE),
        lambda: states.update_state_machine(stateMachineArn=machine, definition=jsonata),
    ):
        with pytest.raises(ClientError, match=refusal):
            request()

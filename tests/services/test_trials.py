"""TestState tries one state, ValidateStateMachineDefinition checks a definition."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from stepml.local_identity import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY
from tests.support.running_aws import ROLE, RunningAws, inline_map, only, task

PASS = {"Type": "Pass", "End": True}
RETRY = [
    {"ErrorEquals": ["FlakyError"], "IntervalSeconds": 2, "MaxAttempts": 2, "BackoffRate": 3.0},
    {"ErrorEquals": ["States.TaskFailed"], "MaxAttempts": 0},
]
CATCH = [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.failure", "Next": "Mend"}]
FLAKY = {"errorOutput": {"error": "FlakyError", "cause": "call 1"}}


@pytest.fixture(scope="module")
def states(aws: RunningAws) -> Any:
    """A client that does not put ``sync-`` before the host's name."""
    return boto3.client(
        "stepfunctions",
        endpoint_url=aws.endpoint_url,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY_ID,
        aws_secret_access_key=SECRET_ACCESS_KEY,
        config=Config(inject_host_prefix=False, retries={"total_max_attempts": 1}),
    )


def tried(states: Any, state: dict[str, Any], given: Any = None, **settings: Any) -> dict[str, Any]:
    answer = states.test_state(
        definition=json.dumps(state), roleArn=ROLE, input=json.dumps(given or {}), **settings
    )
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def refusal(call: Any, **parameters: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as refused:
        call(**parameters)
    error = refused.value.response["Error"]
    return error["Code"], error["Message"]


class TestStates:
    @pytest.mark.parametrize(
        ("state", "given", "answer"),
        [
            (
                {"Type": "Pass", "Parameters": {"b.$": "$.a"}, "Next": "After"},
                {"a": 1},
                {"status": "SUCCEEDED", "output": '{"b": 1}', "nextState": "After"},
            ),
            (PASS, {"a": 1}, {"status": "SUCCEEDED", "output": '{"a": 1}'}),
            (
                {"Type": "Succeed", "OutputPath": "$.a"},
                {"a": 1},
                {"status": "SUCCEEDED", "output": "1"},
            ),
            (
                {"Type": "Fail", "Error": "BadDataError", "Cause": "no rows"},
                {},
                {"status": "FAILED", "error": "BadDataError", "cause": "no rows"},
            ),
            (
                {"Type": "Wait", "Seconds": 0, "Next": "After"},
                {"a": 1},
                {"status": "SUCCEEDED", "output": '{"a": 1}', "nextState": "After"},
            ),
        ],
        ids=lambda value: value.get("Type") if isinstance(value, dict) else None,
    )
    def test_each_type_is_tried(
        self, states: Any, state: dict[str, Any], given: Any, answer: dict[str, Any]
    ) -> None:
        assert tried(states, state, given) == answer

    @pytest.mark.parametrize(("value", "following"), [(3, "Small"), (30, "Large")])
    def test_a_choice_names_the_next_state(self, states: Any, value: int, following: str) -> None:
        rule = {"Variable": "$.n", "NumericLessThan": 10, "Next": "Small"}
        choice = {"Type": "Choice", "Choices": [rule], "Default": "Large"}
        answer = tried(states, choice, {"n": value})
        assert answer == {
            "status": "SUCCEEDED",
            "output": json.dumps({"n": value}),
            "nextState": following,
        }

    def test_a_task_calls_its_function(self, states: Any, outputs: dict[str, str]) -> None:
        answer = tried(states, task("app-probe"), {"print": "tried"}, inspectionLevel="DEBUG")
        assert answer["status"] == "SUCCEEDED", answer
        assert json.loads(answer["output"])["event"] == {"print": "tried"}
        seen = {name: json.loads(text) for name, text in answer["inspectionData"].items()}
        assert seen["input"] == seen["afterInputPath"] == {"print": "tried"}
        assert seen["afterParameters"]["Payload"] == {"print": "tried"}
        assert seen["result"]["StatusCode"] == 200

    def test_context_and_paths_of_stepml_are_there(self, states: Any) -> None:
        name = "States.Format('{}-r{}', $.job, $$.Execution.RedriveCount)"
        state = {"Type": "Pass", "Parameters": {"name.$": name}, "End": True}
        assert json.loads(tried(states, state, {"job": "j"})["output"]) == {"name": "j-r0"}

    def test_a_failed_function_is_not_called_again(
        self, states: Any, outputs: dict[str, str], tmp_path: Path
    ) -> None:
        given = {"fails": 9, "calls": str(tmp_path / "calls")}
        answer = tried(states, task("app-probe", Retry=RETRY), given, inspectionLevel="DEBUG")
        assert (answer["status"], answer["error"]) == ("RETRIABLE", "FlakyError")
        assert answer["inspectionData"]["errorDetails"] == {
            "retryIndex": 0,
            "retryBackoffIntervalSeconds": 2,
        }
        assert len((tmp_path / "calls").read_text().splitlines()) == 1


class TestErrors:
    @pytest.mark.parametrize(
        ("retries", "status", "backoff_s"),
        [(0, "RETRIABLE", 2), (1, "RETRIABLE", 6), (2, "CAUGHT_ERROR", None)],
    )
    def test_retries_come_before_a_catch(
        self, states: Any, retries: int, status: str, backoff_s: int | None
    ) -> None:
        flaky = task("app-probe", Retry=RETRY, Catch=CATCH)
        answer = tried(
            states,
            flaky,
            {"a": 1},
            mock=FLAKY,
            stateConfiguration={"retrierRetryCount": retries},
            inspectionLevel="DEBUG",
        )
        assert (answer["status"], answer["error"]) == (status, "FlakyError")
        details = answer["inspectionData"]["errorDetails"]
        assert details.get("retryBackoffIntervalSeconds") == backoff_s
        if status == "CAUGHT_ERROR":
            failure = {"Error": "FlakyError", "Cause": "call 1"}
            assert json.loads(answer["output"]) == {"a": 1, "failure": failure}
            assert (answer["nextState"], details) == ("Mend", {"catchIndex": 0})

    @pytest.mark.parametrize(
        ("names", "error", "status"),
        [
            (["States.ALL"], "BadDataError", "RETRIABLE"),
            (["States.TaskFailed"], "BadDataError", "RETRIABLE"),
            (["States.TaskFailed"], "States.Timeout", "FAILED"),
            (["States.ALL"], "States.DataLimitExceeded", "FAILED"),
            (["States.DataLimitExceeded"], "States.DataLimitExceeded", "RETRIABLE"),
            (["OtherError"], "BadDataError", "FAILED"),
        ],
    )
    def test_names_match_as_in_an_execution(
        self, states: Any, names: list[str], error: str, status: str
    ) -> None:
        retried = task("app-probe", Retry=[{"ErrorEquals": names}])
        assert tried(states, retried, mock={"errorOutput": {"error": error}})["status"] == status


class TestMocks:
    @pytest.mark.parametrize(
        "state",
        [
            task("app-nobody"),
            inline_map(PASS, OutputPath="$.Payload"),
            {
                "Type": "Task",
                "Resource": "arn:aws:states:::states:startExecution.sync:2",
                "Parameters": {"StateMachineArn": "arn", "Input": {}},
                "OutputPath": "$.Payload",
                "End": True,
            },
        ],
        ids=["Task", "Map", "sync"],
    )
    def test_a_result_stands_for_the_work(self, states: Any, state: dict[str, Any]) -> None:
        mock = {"result": '{"Payload": {"loss": 0.5}}'}
        assert json.loads(tried(states, state, {"items": []}, mock=mock)["output"]) == {"loss": 0.5}
        if state["Type"] == "Map" or "sync" in state["Resource"]:
            definition = json.dumps(state)
            code, message = refusal(states.test_state, definition=definition, roleArn=ROLE)
            assert (code, "with a mock" in message) == ("ValidationException", True)

    def test_a_state_of_a_whole_machine_is_tried(self, states: Any) -> None:
        inner = {"Type": "Pass", "Parameters": {"b.$": "$.a"}, "End": True}
        machine = {
            "StartAt": "First",
            "States": {
                "First": {"Type": "Pass", "Next": "Ranks"},
                "Ranks": {
                    "Type": "Map",
                    "ItemProcessor": {"StartAt": "Inner", "States": {"Inner": inner}},
                    "End": True,
                },
            },
        }
        assert tried(states, machine, {"a": 1}, stateName="Inner")["output"] == '{"b": 1}'
        assert tried(states, machine, {"a": 1}, stateName="First")["nextState"] == "Ranks"

    @pytest.mark.parametrize(
        ("state", "settings", "code"),
        [
            (PASS, {"mock": {"result": "{}"}}, "ValidationException"),
            (task("f"), {"mock": {}}, "ValidationException"),
            (task("f"), {"mock": {"result": "{"}}, "InvalidExecutionInput"),
            (PASS, {"context": "{}"}, "ValidationException"),
            (PASS, {"variables": "{}"}, "ValidationException"),
            (PASS, {"input": "NaN"}, "InvalidExecutionInput"),
            ({"Type": "Pass"}, {}, "InvalidDefinition"),
            ({"Type": "Task", "End": True}, {}, "InvalidDefinition"),
            (only(PASS), {"stateName": "Absent"}, "ValidationException"),
        ],
    )
    def test_mistakes_are_refused(
        self, states: Any, state: dict[str, Any], settings: dict[str, Any], code: str
    ) -> None:
        definition = json.dumps(state)
        assert refusal(states.test_state, definition=definition, **settings)[0] == code


def broken(**fields: Any) -> dict[str, Any]:
    """Return a Pass state with the mistakes ``fields``."""
    return only({**PASS, **fields})


MISTAKES: list[tuple[str, dict[str, Any], str, str]] = [
    ("no states", {"StartAt": "A"}, "SCHEMA_VALIDATION_FAILED", "/States"),
    ("empty", {"StartAt": "A", "States": {}}, "SCHEMA_VALIDATION_FAILED", "/States"),
    ("no start", {"States": {"A": PASS}}, "SCHEMA_VALIDATION_FAILED", "/StartAt"),
    ("start", {"StartAt": "B", "States": {"A": PASS}}, "MISSING_TRANSITION_TARGET", "/StartAt"),
    ("field", {**only(PASS), "Foo": 1}, "SCHEMA_VALIDATION_FAILED", "/Foo"),
    ("type", only({"Type": "Foo"}), "SCHEMA_VALIDATION_FAILED", "/States/Only/Type"),
    ("no type", only({"End": True}), "SCHEMA_VALIDATION_FAILED", "/States/Only/Type"),
    ("no end", only({"Type": "Pass"}), "SCHEMA_VALIDATION_FAILED", "/States/Only"),
    ("both", broken(Next="Only"), "SCHEMA_VALIDATION_FAILED", "/States/Only"),
    (
        "next",
        only({"Type": "Pass", "Next": "Gone"}),
        "MISSING_TRANSITION_TARGET",
        "/States/Only/Next",
    ),
    (
        "unreachable",
        {"StartAt": "A", "States": {"A": PASS, "B": PASS}},
        "MISSING_TRANSITION_TARGET",
        "/States/B",
    ),
    (
        "no resource",
        only({"Type": "Task", "End": True}),
        "SCHEMA_VALIDATION_FAILED",
        "/States/Only",
    ),
    (
        "resource",
        only({"Type": "Task", "Resource": "f", "End": True}),
        "SCHEMA_VALIDATION_FAILED",
        "/States/Only/Resource",
    ),
    ("state's field", broken(Retry=[]), "SCHEMA_VALIDATION_FAILED", "/States/Only/Retry"),
    ("path", broken(InputPath="a.b"), "SCHEMA_VALIDATION_FAILED", "/States/Only/InputPath"),
    (
        "reference",
        broken(ResultPath="$.a[*]"),
        "SCHEMA_VALIDATION_FAILED",
        "/States/Only/ResultPath",
    ),
    (
        "template",
        broken(Parameters={"a": [{"b.$": "States.Nothing($.a)"}]}),
        "SCHEMA_VALIDATION_FAILED",
        "/States/Only/Parameters/a[0]/b.$",
    ),
    (
        "timeout",
        only(task("f", TimeoutSeconds=0)),
        "SCHEMA_VALIDATION_FAILED",
        "/States/Only/TimeoutSeconds",
    ),
    (
        "errors",
        only(task("f", Retry=[{"ErrorEquals": []}])),
        "SCHEMA_VALIDATION_FAILED",
        "/States/Only/Retry[0]/ErrorEquals",
    ),
    (
        "all first",
        only(task("f", Retry=[{"ErrorEquals": ["States.ALL"]}, {"ErrorEquals": ["A"]}])),
        "SCHEMA_VALIDATION_FAILED",
        "/States/Only/Retry[0]/ErrorEquals",
    ),
    (
        "backoff",
        only(task("f", Retry=[{"ErrorEquals": ["A"], "BackoffRate": 0.5}])),
        "SCHEMA_VALIDATION_FAILED",
        "/States/Only/Retry[0]/BackoffRate",
    ),
    (
        "catch",
        only(task("f", Catch=[{"ErrorEquals": ["A"], "Next": "Gone"}])),
        "MISSING_TRANSITION_TARGET",
        "/States/Only/Catch[0]/Next",
    ),
    (
        "choice",
        only({"Type": "Choice", "Choices": [{"Variable": "$.a", "Next": "Only"}]}),
        "SCHEMA_VALIDATION_FAILED",
        "/States/Only/Choices[0]",
    ),
    (
        "default",
        {
            "StartAt": "A",
            "States": {
                "A": {
                    "Type": "Choice",
                    "Choices": [{"Variable": "$.a", "IsNull": True, "Next": "B"}],
                    "Default": "Gone",
                },
                "B": PASS,
            },
        },
        "MISSING_TRANSITION_TARGET",
        "/States/A/Default",
    ),
    (
        "processor",
        only(inline_map({"Type": "Pass", "Next": "Gone"})),
        "MISSING_TRANSITION_TARGET",
        "/States/Only/ItemProcessor/States/Item/Next",
    ),
    (
        "two names",
        {"StartAt": "Item", "States": {"Item": inline_map(PASS)}},
        "DUPLICATE_STATE_NAME",
        "/States/Item/ItemProcessor/States/Item",
    ),
    ("wait", only({"Type": "Wait", "End": True}), "SCHEMA_VALIDATION_FAILED", "/States/Only"),
]


class TestDefinitions:
    @pytest.mark.parametrize(
        ("definition", "code", "location"),
        [mistake[1:] for mistake in MISTAKES],
        ids=[mistake[0] for mistake in MISTAKES],
    )
    def test_a_mistake_is_located(
        self, states: Any, definition: dict[str, Any], code: str, location: str
    ) -> None:
        text = json.dumps(definition)
        answer = states.validate_state_machine_definition(definition=text)
        assert (answer["result"], answer["truncated"]) == ("FAIL", False)
        found = [(each["code"], each["location"]) for each in answer["diagnostics"]]
        assert (code, location) in found, answer["diagnostics"]
        create = states.create_state_machine
        refused, message = refusal(create, name="mistaken", definition=text, roleArn=ROLE)
        assert (refused, code in message) == ("InvalidDefinition", True)

    @pytest.mark.parametrize("text", ["{", "[]", "7", "NaN", "[" * 5000])
    def test_what_is_no_object_is_no_definition(self, states: Any, text: str) -> None:
        [problem] = states.validate_state_machine_definition(definition=text)["diagnostics"]
        assert problem["code"] in ("INVALID_JSON_DESCRIPTION", "SCHEMA_VALIDATION_FAILED")

    @pytest.mark.parametrize("machine", sorted(Path("state_machines").glob("*.asl.json")), ids=str)
    def test_the_products_machines_are_valid(self, states: Any, machine: Path) -> None:
        answer = states.validate_state_machine_definition(
            definition=machine.read_text().replace("${Partition}", "aws"), severity="WARNING"
        )
        assert (answer["result"], answer["diagnostics"]) == ("OK", [])

    def test_a_warning_does_not_prevent_a_machine(self, states: Any) -> None:
        endless = json.dumps(only({"Type": "Pass", "Next": "Only"}))
        validate = states.validate_state_machine_definition
        [warning] = validate(definition=endless, severity="WARNING")["diagnostics"]
        assert (warning["code"], warning["severity"]) == ("MISSING_END_STATE", "WARNING")
        text = json.dumps(broken(Parameters={"a": "$.b"}))
        assert validate(definition=text)["diagnostics"] == []
        answer = validate(definition=text, severity="WARNING")
        [warning] = answer["diagnostics"]
        assert (answer["result"], warning["severity"]) == ("OK", "WARNING")
        assert warning["location"] == "/States/Only/Parameters/a"

    def test_diagnostics_are_limited(self, states: Any) -> None:
        text = json.dumps({"StartAt": "A", "States": {f"S{i}": {"Type": "X"} for i in range(9)}})
        answer = states.validate_state_machine_definition(definition=text, maxResults=3)
        assert (len(answer["diagnostics"]), answer["truncated"]) == (3, True)
        call = states.validate_state_machine_definition
        assert refusal(call, definition=text, maxResults=101)[0] == "ValidationException"

"""The local AWS refuses, cuts and fails what Step Functions and Lambda refuse, cut and fail."""

from __future__ import annotations

import base64
import json
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.running_aws import ROLE, RunningAws, inline_map, only, task

PASS = {"Type": "Pass", "End": True}
LIMIT = 262_144  # bytes of data, from the pages on quotas of Step Functions


@pytest.fixture(scope="module")
def machine(aws: RunningAws) -> str:
    """A state machine that returns its input."""
    return aws.machine(only(PASS))


@pytest.fixture(scope="module")
def bucket(aws: RunningAws) -> str:
    aws.client("s3").create_bucket(Bucket="limits")
    return "limits"


def refusal(call: Any, **parameters: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as refused:
        call(**parameters)
    error = refused.value.response["Error"]
    return error["Code"], error["Message"]


def nested(depth: int) -> str:
    return f'{{"a": {"[" * (depth - 1)}{"]" * (depth - 1)}}}'


class TestInputs:
    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ("", "Expecting value"),
            ("{", "Expecting property name"),
            ("not JSON", "Expecting value"),
            ('{"a": NaN}', "NaN is not JSON"),
            ('{"a": [Infinity]}', "Infinity is not JSON"),
            ('{"a": -Infinity}', "-Infinity is not JSON"),
            ('{"a": 1e999}', "1e999 is too large a number"),
            (r'{"\ud800": 1}', "half of a surrogate pair"),
            (r'{"a": "\udfff"}', "half of a surrogate pair"),
            ('{"a": "\ud800"}', "half of a surrogate pair"),
            (nested(2000), "2000 levels of nesting; the maximum is 1000"),
            ("[" * 100_000, "100000 levels of nesting"),
        ],
        ids=lambda value: value[:16],
    )
    def test_what_is_not_json_is_refused(
        self, aws: RunningAws, machine: str, given: str, message: str
    ) -> None:
        start = aws.client("stepfunctions").start_execution
        code, text = refusal(start, stateMachineArn=machine, input=given)
        assert code == "InvalidExecutionInput"
        assert message in text

    @pytest.mark.parametrize(
        "given",
        [r'{"a": "\ud83d\ude00 \" [[["}', '{"a": 1e300}', "[]", '"text"', nested(500)],
        ids=lambda value: value[:16],
    )
    def test_all_other_json_is_accepted(self, aws: RunningAws, machine: str, given: str) -> None:
        started = aws.client("stepfunctions").start_execution(stateMachineArn=machine, input=given)
        ended = aws.ended(started["executionArn"])
        assert ended["status"] == "SUCCEEDED", ended
        assert json.loads(ended["output"]) == json.loads(given)

    def test_deep_json_reaches_a_function(self, aws: RunningAws, outputs: dict[str, str]) -> None:
        mapped = aws.machine(only(inline_map(task("app-probe"))))
        deep = json.loads(nested(500))
        ended = aws.run(mapped, {"items": [deep]})
        assert ended["status"] == "SUCCEEDED", ended
        assert json.loads(ended["output"])[0]["event"] == deep

    def test_the_largest_input_passes(self, aws: RunningAws, machine: str) -> None:
        given = json.dumps({"a": "x" * (LIMIT - 8)}, separators=(",", ":"))
        assert len(given) == LIMIT
        started = aws.client("stepfunctions").start_execution(stateMachineArn=machine, input=given)
        assert aws.ended(started["executionArn"])["output"] == given

    @pytest.mark.parametrize(
        ("text", "code"),
        [
            ("x" * (LIMIT - 1), "ValidationException"),  # AWS counts characters first
            ("é" * (LIMIT // 2), "InvalidExecutionInput"),
            ("x" * 1_000_000, "ValidationException"),
        ],
        ids=["characters", "bytes", "a megabyte"],
    )
    def test_a_larger_one_is_refused(
        self, aws: RunningAws, machine: str, text: str, code: str
    ) -> None:
        states = aws.client("stepfunctions")
        given = json.dumps(text, ensure_ascii=False)
        answer = refusal(states.start_execution, stateMachineArn=machine, input=given)
        assert answer[0] == code
        assert "262144" in answer[1]
        assert len(answer[1]) < 200


class TestParameters:
    @pytest.mark.parametrize(
        ("operation", "parameters", "problem"),
        [
            ("list_executions", {"maxResults": 1001}, "Value '1001' at 'maxResults'"),
            ("list_executions", {"nextToken": "t" * 3097}, "'nextToken' failed to satisfy"),
            ("list_executions", {"statusFilter": "DONE"}, "enum value set: [RUNNING, SUCCEEDED,"),
            ("start_execution", {"name": "n" * 81}, "length less than or equal to 80"),
            ("start_execution", {"traceHeader": "é"}, "regular expression pattern: \\p{ASCII}*"),
        ],
    )
    def test_values_beyond_the_model_are_refused(
        self,
        aws: RunningAws,
        machine: str,
        operation: str,
        parameters: dict[str, Any],
        problem: str,
    ) -> None:
        call = getattr(aws.client("stepfunctions"), operation)
        code, message = refusal(call, stateMachineArn=machine, **parameters)
        assert code == "ValidationException"
        assert message.startswith("1 validation error detected: Value")
        assert problem in message

    def test_all_problems_are_named_and_no_secret(self, aws: RunningAws, machine: str) -> None:
        execution = aws.run(machine)["executionArn"]
        stop = aws.client("stepfunctions").stop_execution
        code, message = refusal(
            stop, executionArn=execution, error="secret" * 43, cause="c" * 32_769
        )
        assert code == "ValidationException"
        assert message.startswith("2 validation errors detected: Value at 'error' failed")
        assert "Value at 'cause' failed" in message
        assert "secret" not in message

    def test_a_longest_cause_stops_an_execution(self, aws: RunningAws) -> None:
        waiting = aws.machine(only({"Type": "Wait", "Seconds": 3600, "End": True}))
        execution = aws.start(waiting)
        aws.client("stepfunctions").stop_execution(
            executionArn=execution, error="e" * 256, cause="c" * 32_768
        )
        assert len(aws.ended(execution)["cause"]) == 32_768

    @pytest.mark.parametrize(
        ("operation", "parameters"),
        [
            ("list_executions", {"stateMachineArn": "machine"}),
            ("list_state_machines", {}),
            ("get_execution_history", {"executionArn": "execution"}),
        ],
    )
    @pytest.mark.parametrize(
        "token",
        ["unknown", "7x", "-1", base64.b64encode(b"{}").decode(), base64.b64encode(b"[]").decode()],
    )
    def test_unknown_tokens_are_refused(
        self,
        aws: RunningAws,
        machine: str,
        operation: str,
        parameters: dict[str, str],
        token: str,
    ) -> None:
        known = {"machine": machine, "execution": aws.run(machine)["executionArn"]}
        given = {name: known[value] for name, value in parameters.items()}
        call = getattr(aws.client("stepfunctions"), operation)
        assert refusal(call, nextToken=token, **given)[0] == "InvalidToken"

    def test_parameters_of_another_type_are_refused(self, aws: RunningAws, machine: str) -> None:
        import boto3
        from botocore.config import Config

        lenient = boto3.client(
            "stepfunctions",
            endpoint_url=aws.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(parameter_validation=False),
        )
        for parameters in ({"input": {"a": 1}}, {"name": 7}, {"name": True}):
            call = lenient.start_execution
            code, _ = refusal(call, stateMachineArn=machine, **parameters)
            assert code == "SerializationException"
        code, message = refusal(lenient.start_execution, input="{}")
        assert (code, message) == (
            "ValidationException",
            "1 validation error detected: Value null at 'stateMachineArn' failed to satisfy "
            "constraint: Member must not be null",
        )

    def test_a_page_of_log_events_has_at_most_ten_thousand(self, aws: RunningAws) -> None:
        logs = aws.client("logs")
        code, _ = refusal(logs.filter_log_events, logGroupName="g", limit=10_001)
        assert code == "ValidationException"


class TestData:
    """Data that pass between states, and texts of failures."""

    def filled(self, n_bytes: int) -> dict[str, Any]:
        """Return a Pass state with an output of ``n_bytes``."""
        empty = len('{"a":""}')
        return {"Type": "Pass", "Result": {"a": "x" * (n_bytes - empty)}, "End": True}

    def test_an_output_of_the_largest_size_passes(self, aws: RunningAws) -> None:
        ended = aws.run(aws.machine(only(self.filled(LIMIT))))
        assert (ended["status"], len(ended["output"])) == ("SUCCEEDED", LIMIT)

    def test_a_larger_one_fails(self, aws: RunningAws) -> None:
        ended = aws.run(aws.machine(only(self.filled(LIMIT + 1))))
        assert (ended["status"], ended["error"]) == ("FAILED", "States.DataLimitExceeded")
        assert "size exceeding the maximum number of bytes service limit" in ended["cause"]

    def test_parameters_of_a_task_are_limited_too(self, aws: RunningAws) -> None:
        doubled = {"FunctionName": "app-probe", "Payload": {"a.$": "$.a", "b.$": "$.a"}}
        machine = aws.machine(only(task("app-probe", Parameters=doubled)))
        ended = aws.run(machine, {"a": "x" * 150_000})
        assert (ended["status"], ended["error"]) == ("FAILED", "States.DataLimitExceeded")

    @pytest.mark.parametrize(
        ("name", "status"), [("States.ALL", "FAILED"), ("States.DataLimitExceeded", "SUCCEEDED")]
    )
    def test_it_is_caught_by_its_own_name_alone(
        self, aws: RunningAws, outputs: dict[str, str], name: str, status: str
    ) -> None:
        catch = [{"ErrorEquals": [name], "ResultPath": None, "Next": "Caught"}]
        states = {
            "Fills": task("app-probe", Catch=catch),
            "Caught": {"Type": "Succeed"},
        }
        machine = aws.machine({"StartAt": "Fills", "States": states})
        assert aws.run(machine, {"pad_bytes": LIMIT})["status"] == status

    def test_a_long_cause_is_cut(self, aws: RunningAws, machine: str) -> None:
        choice = {
            "Type": "Pass",
            "Parameters": {"a.$": "$.absent"},
            "End": True,
        }
        ended = aws.run(aws.machine(only(choice)), {"a": "x" * 100_000})
        assert (ended["error"], len(ended["cause"])) == ("States.Runtime", 32_768)
        [failed] = [
            event["executionFailedEventDetails"]
            for event in aws.events(ended["executionArn"])
            if event["type"] == "ExecutionFailed"
        ]
        assert len(failed["cause"]) == 32_768

    def test_error_and_cause_of_a_fail_state_are_cut(self, aws: RunningAws) -> None:
        failing = {"Type": "Fail", "ErrorPath": "$.error", "CausePath": "$.cause"}
        ended = aws.run(aws.machine(only(failing)), {"error": "e" * 300, "cause": "c" * 40_000})
        assert (len(ended["error"]), len(ended["cause"])) == (256, 32_768)

    def test_names_of_state_machines_are_limited(self, aws: RunningAws) -> None:
        create = aws.client("stepfunctions").create_state_machine
        definition = json.dumps(only(PASS))
        for name, code in (("n" * 81, "ValidationException"), ("a b", "InvalidName")):
            assert refusal(create, name=name, definition=definition, roleArn=ROLE)[0] == code


class TestMapRuns:
    """StepML's machines have Inline Maps alone, so there are no Map Runs."""

    NONE = "arn:aws:states:us-east-1:123456789012:mapRun:machine/label:none"

    def test_an_execution_has_none(self, aws: RunningAws, machine: str) -> None:
        execution = aws.run(machine)["executionArn"]
        listed = aws.client("stepfunctions").list_map_runs(executionArn=execution)
        assert listed["mapRuns"] == []

    @pytest.mark.parametrize("operation", ["describe_map_run", "list_executions"])
    def test_an_unknown_one_is_not_found(self, aws: RunningAws, operation: str) -> None:
        call = getattr(aws.client("stepfunctions"), operation)
        assert refusal(call, mapRunArn=self.NONE)[0] == "ResourceNotFound"

    def test_executions_are_of_a_machine_or_of_a_map_run(
        self, aws: RunningAws, machine: str
    ) -> None:
        call = aws.client("stepfunctions").list_executions
        assert refusal(call)[0] == "ValidationException"
        both = {"stateMachineArn": machine, "mapRunArn": self.NONE}
        assert refusal(call, **both)[0] == "ValidationException"


class TestLambda:
    @pytest.mark.parametrize("payload", ["NaN", '{"a": Infinity}', "{", nested(1001)])
    def test_a_payload_that_is_no_json_is_refused(
        self, aws: RunningAws, outputs: dict[str, str], payload: str
    ) -> None:
        invoke = aws.client("lambda").invoke
        code, _ = refusal(invoke, FunctionName="app-probe", Payload=payload)
        assert code == "InvalidRequestContentException"

    @pytest.mark.parametrize(
        ("kind", "n_bytes"), [("RequestResponse", 6 * 1024 * 1024), ("Event", 1024 * 1024)]
    )
    def test_a_payload_that_is_too_large_is_refused(
        self, aws: RunningAws, outputs: dict[str, str], kind: str, n_bytes: int
    ) -> None:
        invoke = aws.client("lambda").invoke
        payload = json.dumps(uuid.uuid4().hex + "x" * n_bytes)
        code, _ = refusal(invoke, FunctionName="app-probe", InvocationType=kind, Payload=payload)
        assert code == "RequestTooLargeException"


class TestStorage:
    """Limits of S3 and DynamoDB that a job could meet."""

    @pytest.mark.parametrize(
        ("operation", "parameters", "code"),
        [
            ("put_object", {"Key": "k" * 1025}, "KeyTooLongError"),
            ("put_object", {"Key": "é" * 513}, "KeyTooLongError"),
            ("put_object", {"Key": "k", "Metadata": {"a": "x" * 2048}}, "MetadataTooLarge"),
            ("list_objects_v2", {"ContinuationToken": "unknown"}, "InvalidArgument"),
            (
                "delete_objects",
                {"Delete": {"Objects": [{"Key": str(i)} for i in range(1001)]}},
                "MalformedXML",
            ),
        ],
        ids=["key", "key in bytes", "metadata", "token", "deletions"],
    )
    def test_s3_refuses_more(
        self, aws: RunningAws, bucket: str, operation: str, parameters: dict[str, Any], code: str
    ) -> None:
        call = getattr(aws.client("s3"), operation)
        assert refusal(call, Bucket=bucket, **parameters)[0] == code

    def test_the_longest_key_and_metadata_are_stored(self, aws: RunningAws, bucket: str) -> None:
        s3 = aws.client("s3")
        s3.put_object(Bucket=bucket, Key="k" * 1024, Metadata={"a": "x" * 2047})
        stored = s3.head_object(Bucket=bucket, Key="k" * 1024)
        assert len(stored["Metadata"]["a"]) == 2047

    @pytest.mark.parametrize("name", ["Capital", "under_score", "ab", "a" * 64, "-a-"])
    def test_names_of_buckets_are_checked(self, aws: RunningAws, name: str) -> None:
        assert refusal(aws.client("s3").create_bucket, Bucket=name)[0] == "InvalidBucketName"

    def test_dynamodb_refuses_large_batches_and_items(
        self, aws: RunningAws, outputs: dict[str, str]
    ) -> None:
        dynamodb = aws.client("dynamodb")
        puts = [{"PutRequest": {"Item": {"key": {"S": f"limit-{i}"}}}} for i in range(26)]
        write = dynamodb.batch_write_item
        code, message = refusal(write, RequestItems={"app-items": puts})
        assert (code, "less than or equal to 25" in message) == ("ValidationException", True)
        assert write(RequestItems={"app-items": puts[:25]})["UnprocessedItems"] == {}
        item = {"key": {"S": "large"}, "value": {"B": b"x" * 409_600}}
        put = dynamodb.put_item
        assert refusal(put, TableName="app-items", Item=item)[0] == "ValidationException"

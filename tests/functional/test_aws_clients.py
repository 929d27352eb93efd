"""A whole job with the AWS CLI alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.support.local_stack import LocalStack, csv_rows
from tests.support.running_aws import WAIT_S


class AwsCli:
    """`aws`, configured for the local AWS like a user's."""

    def __init__(self, endpoint_url: str) -> None:
        self._command = [str(Path(sys.executable).parent / "aws"), "--endpoint-url", endpoint_url]

    def text(self, *arguments: str) -> str:
        environment = os.environ | {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        done = subprocess.run(
            [*self._command, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.text(*arguments, "--output", "json"))


@pytest.fixture
def aws(local_stack: LocalStack) -> AwsCli:
    return AwsCli(local_stack.endpoint_url)


def test_a_job_through_the_aws_cli(
    local_stack: LocalStack, aws: AwsCli, job: dict[str, Any], tmp_path: Path
) -> None:
    name = f"cli-{uuid.uuid4().hex[:8]}"
    (tmp_path / "rows.csv").write_bytes(csv_rows())
    uri = f"s3://{local_stack.bucket}/data/from-cli.csv"
    aws.text("s3", "cp", str(tmp_path / "rows.csv"), uri)
    (tmp_path / "job.json").write_text(json.dumps(job | {"data": job["data"] | {"uri": uri}}))

    machines = aws.json("stepfunctions", "list-state-machines")["stateMachines"]
    by_name = {machine["name"]: machine["stateMachineArn"] for machine in machines}
    execution = aws.json(
        *("stepfunctions", "start-execution", "--state-machine-arn", by_name["stepml-train"]),
        *("--name", name, "--input", f"file://{tmp_path / 'job.json'}"),
    )["executionArn"]
    local_stack.aws.ended(execution)
    described = aws.json("stepfunctions", "describe-execution", "--execution-arn", execution)
    assert described["status"] == "SUCCEEDED"
    report = json.loads(described["output"])
    assert report["job_id"] == name

    history = aws.json("stepfunctions", "get-execution-history", "--execution-arn", execution)
    assert history["events"][-1]["type"] == "ExecutionSucceeded"
    listed = aws.json(
        "stepfunctions", "list-executions", "--state-machine-arn", by_name["stepml-epoch"]
    )
    epochs = [each for each in listed["executions"] if each["name"].startswith(name)]
    assert len(epochs) == report["epochs"]

    # The request of `aws logs tail`; only version 2 of the CLI has that command.
    logs = aws.json("logs", "filter-log-events", "--log-group-name", "/stepml/stepml/executor")
    messages = [event["message"] for event in logs["events"]]
    assert sum(f'"message": "rank trained", "job_id": "{name}"' in each for each in messages) == 12
    assert any(each.startswith("REPORT RequestId: ") for each in messages)

    aws.text("s3", "cp", report["model_uri"], str(tmp_path / "model.safetensors"))
    assert (tmp_path / "model.safetensors").stat().st_size > 0


def test_the_trigger_starts_a_job(
    local_stack: LocalStack, aws: AwsCli, job: dict[str, Any], tmp_path: Path
) -> None:
    name = f"trigger-{uuid.uuid4().hex[:8]}"
    answer = tmp_path / "answer.json"
    invoke = ("lambda", "invoke", "--function-name", "stepml-trigger")
    payload = json.dumps({"job": job, "name": name})
    aws.text(*invoke, "--payload", payload, str(answer))
    started = json.loads(answer.read_text())
    assert started["job_id"] == name
    assert local_stack.aws.ended(started["execution_arn"])["status"] == "SUCCEEDED"

    payload = json.dumps({"job": job | {"workers": 0}})
    refused = aws.json(*invoke, "--payload", payload, str(answer))
    assert refused["FunctionError"] == "Unhandled"
    assert json.loads(answer.read_text())["errorType"] == "InvalidJobError"


def test_boto3_needs_only_the_endpoint_from_the_environment(
    local_stack: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", local_stack.endpoint_url)
    session = boto3.Session("test", "test", region_name="us-east-1")
    names = [
        each["name"]
        for each in session.client("stepfunctions").list_state_machines()["stateMachines"]
    ]
    assert {"stepml-train", "stepml-epoch"} <= set(names)
    functions = session.client("lambda").list_functions()["Functions"]
    assert "stepml-executor" in {each["FunctionName"] for each in functions}

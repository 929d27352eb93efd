"""moto's own server with a stack like StepML's, but with jobs that end at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.request import Request, urlopen

import boto3
import msgspec
from moto.core.config import default_user_config

from stepml.client import Client, connect
from stepml.job import keys
from stepml.job.documents import encode
from stepml.job.parse import parse_job
from stepml.job.reports import DatasetReport, EpochReport, JobReport
from tests.support.moto_server import moto_server
from tests.support.running_aws import eventually

ROLE = "arn:aws:iam::123456789012:role/states"
BUCKET = "stepml-123456789012-us-east-1"
JOB: dict[str, Any] = {
    "data": {"uri": f"s3://{BUCKET}/data/x.csv", "format": "csv", "label": "y"},
    "model": {"name": "logistic_regression"},
    "algorithm": {"name": "model_averaging"},
    "stop": {"max_epochs": 3},
}
JOB_TEXT = json.dumps(JOB)
FAILURE_CAUSE = json.dumps({"errorType": "BadRowError", "errorMessage": "data/x.csv, line 17"})
DOUBT_CAUSE = json.dumps({"errorType": "DoubtfulResultError", "errorMessage": "a warning: odd"})
_ENDS: dict[str, dict[str, Any]] = {
    "stepml": {"Type": "Pass", "Next": "End"},
    "failing": {"Type": "Fail", "Error": "BadRowError", "Cause": FAILURE_CAUSE},
    "doubtful": {"Type": "Fail", "Error": "DoubtfulResultError", "Cause": DOUBT_CAUSE},
    "endless": {"Type": "Wait", "Seconds": 3600, "Next": "End"},
}


@dataclass(frozen=True)
class MotoStack:
    """The server's address, and methods that fill it."""

    endpoint_url: str

    @cache  # noqa: B019 (the stacks are few)
    def service(self, name: Any) -> Any:
        return boto3.client(
            name,
            endpoint_url=self.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def client(self, stack: str = "stepml") -> Client:
        return Client(connect(self.endpoint_url), stack)

    def put(self, key: str, content: bytes) -> None:
        self.service("s3").put_object(Bucket=BUCKET, Key=key, Body=content)

    def put_epochs(self, job_id: str, count: int, ended: bool = True) -> list[EpochReport]:
        """Write the reports of ``count`` epochs; the last one has converged if ``ended``."""
        last = count if ended else 0
        reports = [epoch_report(epoch, last=epoch == last) for epoch in range(1, count + 1)]
        for report in reports:
            self.put(keys.epoch_report(job_id, report.epoch), encode(report))
        return reports

    def put_results(self, job_id: str, epochs: list[EpochReport], **changed: Any) -> JobReport:
        """Write the files of Finalise; ``changed`` are fields of the report."""
        report = msgspec.structs.replace(job_report(job_id, epochs), **changed)
        self.put(keys.report(job_id), encode(report))
        self.put(keys.model(job_id), b"arrays")
        self.put(keys.model_card(job_id), b"{}")
        self.put(keys.history(job_id), b"{}\n")
        return report

    def run_child(self, name: str, stack: str = "stepml", **task: Any) -> str:
        """Run the execution of an epoch to its end, for which no job waits; return its ARN."""
        states = self.service("stepfunctions")
        started = states.start_execution(
            stateMachineArn=self.client(stack).stack.epoch_arn, name=name, input=json.dumps(task)
        )
        arn = str(started["executionArn"])
        eventually(
            lambda: states.describe_execution(executionArn=arn)["status"],
            lambda status: status != "RUNNING",
        )
        return arn


@contextmanager
def running_stack() -> Iterator[MotoStack]:
    """Run the server on a free port until the block ends."""
    before = default_user_config.get("stepfunctions")
    default_user_config["stepfunctions"] = {"execute_state_machine": True}
    try:
        with moto_server() as endpoint_url:
            # moto stores its data in this process, for all servers.
            with urlopen(Request(f"{endpoint_url}/moto-api/reset", method="POST")):
                pass
            stack = MotoStack(endpoint_url)
            stack.service("s3").create_bucket(Bucket=BUCKET)
            for name in _ENDS:
                _deploy(stack, name)
            yield stack
    finally:
        default_user_config["stepfunctions"] = before or {"execute_state_machine": False}


def epoch_report(epoch: int, *, last: bool) -> EpochReport:
    return EpochReport(
        epoch=epoch,
        decision="converged" if last else "continue",
        reason="no improvement for 2 epochs" if last else "improved",
        next_epoch=epoch + 1,
        loss=1.0 / epoch,
        metrics={"accuracy": 1 - 0.5 / epoch},
        training_loss=1.0 / epoch,
        best_loss=1.0 / epoch,
        epochs_without_improvement=0,
        seconds=0.25,
        active_seconds=0.25 * epoch,
        cost_usd=0.000125,
        total_cost_usd=0.000125 * epoch,
        executor_seconds=[0.1, 0.1],
        stragglers=[],
        called_again=[],
    )


def job_report(job_id: str, epochs: list[EpochReport]) -> JobReport:
    return JobReport(
        job_id=job_id,
        spec=parse_job(JOB),
        decision=epochs[-1].decision,
        reason=epochs[-1].reason,
        epochs=len(epochs),
        loss=epochs[-1].loss,
        metrics=epochs[-1].metrics,
        seconds=1.5,
        dataset=DatasetReport(
            digest="d",
            n_features=2,
            training_rows=9,
            validation_rows=1,
            classes=[0.0, 1.0],
            matrix="dense",
            density=1.0,
            skipped_rows=0,
            skipped_samples=[],
        ),
        model_uri=f"s3://{BUCKET}/{keys.model(job_id)}",
        report_uri=f"s3://{BUCKET}/{keys.report(job_id)}",
        history_uri=f"s3://{BUCKET}/{keys.history(job_id)}",
        versions={},
        kernels={},
        kept={},
        history=epochs,
    )


def _deploy(stack: MotoStack, name: str) -> None:
    """Create a stack; its jobs pass the states that the client reads, and end."""
    states: dict[str, Any] = {
        "InitialiseModel": {"Type": "Pass", "Next": "RunEpoch"},
        "RunEpoch": {"Type": "Pass", "Next": "Ending"},
        "Ending": _ENDS[name],
        "End": {"Type": "Succeed"},
    }
    train = _machine(stack, f"{name}-train", {"StartAt": "InitialiseModel", "States": states})
    child = _failing_child() if name == "failing" else _only("Reduce", {"Type": "Succeed"})
    outputs = {
        "Bucket": BUCKET,
        "TrainStateMachineArn": train,
        "EpochStateMachineArn": _machine(stack, f"{name}-epoch", child),
    }
    template = {
        "Resources": {"Topic": {"Type": "AWS::S3::Bucket"}},
        "Outputs": {key: {"Value": value} for key, value in outputs.items()},
    }
    stack.service("cloudformation").create_stack(StackName=name, TemplateBody=json.dumps(template))


def _only(name: str, state: dict[str, Any]) -> dict[str, Any]:
    return {"StartAt": name, "States": {name: state}}


def _failing_child() -> dict[str, Any]:
    """Return an epoch in which the rank named by its input fails, without another record."""
    states: dict[str, Any] = {
        "IsIt?": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.fails", "BooleanEquals": True, "Next": "Killed"}],
            "Default": "Trained",
        },
        "Killed": {"Type": "Fail", "Error": "Runtime.ExitError", "Cause": "signal: killed"},
        "Trained": {"Type": "Wait", "Seconds": 60, "End": True},
    }
    return _only(
        "RunExecutors",
        {
            "Type": "Map",
            "ItemsPath": "$.items",
            "MaxConcurrency": 40,
            "ItemProcessor": {
                "ProcessorConfig": {"Mode": "INLINE"},
                "StartAt": "IsIt?",
                "States": states,
            },
            "End": True,
        },
    )


def _machine(stack: MotoStack, name: str, definition: dict[str, Any]) -> str:
    made = stack.service("stepfunctions").create_state_machine(
        name=name, definition=json.dumps(definition), roleArn=ROLE
    )
    return str(made["stateMachineArn"])

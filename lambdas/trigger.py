"""Starts a job from a direct invocation: ``{"job": {…}, "name": "…"}``."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

import boto3
import msgspec
from botocore.exceptions import ClientError

from lambdas.entry import handles
from lambdas.environment import LambdaContext
from lambdas.logs import log
from stepml.job.errors import JobIdTakenError
from stepml.job.names import check_job_id
from stepml.job.parse import parse_job
from stepml.job.tasks import TriggerResult, TriggerTask

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

STATE_MACHINE_VARIABLE = "STEPML_TRAIN_STATE_MACHINE"  # set by templates/template.yaml


@handles(TriggerTask)
def handler(task: TriggerTask, context: LambdaContext) -> TriggerResult:
    return start(task, _client(), os.environ[STATE_MACHINE_VARIABLE])


def start(task: TriggerTask, client: SFNClient, state_machine: str) -> TriggerResult:
    """Check the job and start its execution.

    Raises
    ------
    InvalidJobError
        The job is wrong; nothing has started.
    JobIdTakenError
        There is an execution of this name.
    """
    spec = parse_job(task.job)
    name = task.name or f"job-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}"
    check_job_id(name, spec.stop.most_epochs)
    try:
        started = client.start_execution(
            stateMachineArn=state_machine,
            name=name,
            input=msgspec.json.encode(task.job).decode(),
        )
    except ClientError as error:
        if error.response["Error"]["Code"] == "ExecutionAlreadyExists":
            raise JobIdTakenError(f"run name {name!r} is taken; choose another") from error
        raise
    log("job started", job_id=name)
    return TriggerResult(job_id=name, execution_arn=started["executionArn"])


@cache
def _client() -> SFNClient:
    return boto3.client("stepfunctions")

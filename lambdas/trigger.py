"""Starts a job: for a file that is put under ``inbox/``, for a schedule, or by invocation.

::

    {"Records": […]}                            an event of S3
    {"job": "schedule/nightly.json", "time": …} a schedule's; the place of a job file
    {"job": {…}, "name": "…"}                   anybody's; the job itself

Each event starts one job, however often it comes: the job's name is made from it.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import ClientError

from lambdas.entry import handles
from lambdas.environment import LambdaContext, durable
from lambdas.job_files import JobFile, file_stem, put_files, start_file, start_quietly
from lambdas.logs import log
from stepml.job.errors import InvalidTaskError, JobIdTakenError
from stepml.job.job_files import checked_job
from stepml.job.places import absolute, bucket_and_key
from stepml.job.tasks import TriggerResult, TriggerTask
from storage import DurableStorage
from storage.factory import BUCKET_VARIABLE

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

STATE_MACHINE_VARIABLE = "STEPML_TRAIN_STATE_MACHINE"  # set by templates/template.yaml
_DIGITS = 12  # of an invocation's id, in the name of its job


@dataclass(frozen=True, slots=True)
class Starter:
    """The state machine that trains jobs."""

    client: SFNClient
    state_machine: str  # its ARN

    def start(self, job: str, name: str) -> TriggerResult:
        """Start an execution for the text of a checked job.

        Raises
        ------
        JobIdTakenError
            Another job has had this name.
        """
        try:
            started = self.client.start_execution(
                stateMachineArn=self.state_machine, name=name, input=job
            )
        except ClientError as error:
            if error.response["Error"]["Code"] == "ExecutionAlreadyExists":
                raise JobIdTakenError(f"run name {name!r} is taken; choose another") from error
            raise
        log("job started", job_id=name)
        return TriggerResult(job_id=name, execution_arn=started["executionArn"])

    def start_once(self, job: str, name: str) -> TriggerResult:
        """Start an execution, unless an earlier event has: names of events return with them."""
        try:
            return self.start(job, name)
        except JobIdTakenError:
            log("job was started before", job_id=name)
            executions = self.state_machine.replace(":stateMachine:", ":execution:")
            return TriggerResult(job_id=name, execution_arn=f"{executions}:{name}")


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    if "Records" not in event:
        return _invoked(event, context)
    for file in put_files(event, os.environ[BUCKET_VARIABLE]):
        start_quietly(file, durable(), _starter().start_once)
    return {}


@handles(TriggerTask)
def _invoked(task: TriggerTask, context: LambdaContext) -> TriggerResult | None:
    bucket = os.environ[BUCKET_VARIABLE]
    return invoked(task, context.aws_request_id, bucket, durable(), _starter())


def invoked(
    task: TriggerTask, request_id: str, bucket: str, storage: DurableStorage, starter: Starter
) -> TriggerResult | None:
    """Start the job of an event that is not from S3.

    Parameters
    ----------
    task : TriggerTask
    request_id : str
        Of the invocation; Lambda repeats it with the event.
    bucket : str
        The stack's.
    storage : DurableStorage
        The objects of that bucket.
    starter : Starter

    Raises
    ------
    InvalidJobError
        The job is wrong, and nothing has started. For a schedule, only the answer beside the file
        says so.
    JobIdTakenError
        Another job has had the name that the event gives.
    """
    start = starter.start_once if task.name is None else starter.start
    event = moment_of(task) or request_id.replace("-", "")[:_DIGITS]
    if not isinstance(task.job, str):
        text = json.dumps(task.job, separators=(",", ":"))
        name = task.name or f"job-{event}"
        return start(checked_job(text, name), name)
    key = _key(task.job, bucket)
    file = JobFile(key, task.name or f"{file_stem(key)}-{event}")
    if task.time is not None:
        return start_quietly(file, storage, start)
    return start_file(file, storage, start)


def moment_of(task: TriggerTask) -> str:
    """Return the time of a schedule's event for a job's name, or an empty string without one.

    Raises
    ------
    InvalidTaskError
        It is no time.
    """
    if task.time is None:
        return ""
    try:
        moment = datetime.fromisoformat(task.time)
    except ValueError:
        raise InvalidTaskError(
            f"time: expected a time such as 2026-01-02T03:00:00Z, got {task.time!r}"
        ) from None
    return f"{moment.astimezone(UTC):%Y%m%d-%H%M%S}"


def _key(place: str, own_bucket: str) -> str:
    bucket, key = bucket_and_key(absolute(place, own_bucket))
    if bucket != own_bucket or not key:
        raise InvalidTaskError(
            f"job: expected a job, or the place of a file in the bucket {own_bucket}, got {place!r}"
        )
    return key


@cache
def _starter() -> Starter:
    return Starter(boto3.client("stepfunctions"), os.environ[STATE_MACHINE_VARIABLE])

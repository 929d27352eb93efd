"""The executions that continue a long job, each with a history of its own."""

from __future__ import annotations

import re

from stepml.client.connection import Connection
from stepml.client.epochs import executions_since
from stepml.client.stack import Stack
from stepml.records.execution import Execution, ExecutionState
from stepml.records.json_answers import json_object

# The suffix that ContinueJob of train.asl.json appends to the job id.
_SUFFIX = re.compile(r"-c\d+-r\d+-t\d+$")


def newest_continuation(
    connection: Connection, stack: Stack, job: ExecutionState
) -> Execution | None:
    """Return the newest execution that continues ``job``, or None."""
    name = job.execution.name
    for item in executions_since(connection, stack.train_arn, job.started_at):
        if item["name"].startswith(name) and _SUFFIX.fullmatch(item["name"], len(name)):
            return Execution(item["name"], item["executionArn"])
    return None


def job_name(execution: str) -> str:
    """Return the name of the job of an execution of ``train``, which may continue it."""
    return _SUFFIX.sub("", execution)


def continued_job(text: str) -> str | None:
    """Return the id of the job that an execution with this input continues, or None."""
    try:
        return str(json_object(text)["continues"]["job_id"])
    except (TypeError, LookupError):
        return None

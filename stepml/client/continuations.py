"""The executions that go on with a job whose first one's history would be too long."""

from __future__ import annotations

import json
import re

from stepml.client.connection import Connection
from stepml.client.epochs import executions_since
from stepml.client.execution import Execution, ExecutionState
from stepml.client.stack import Stack

# What ContinueJob of train.asl.json appends to the job id.
_SUFFIX = re.compile(r"-c\d+-r\d+-t\d+")


def newest_continuation(
    connection: Connection, stack: Stack, job: ExecutionState
) -> Execution | None:
    """Return the execution that went on with ``job`` last; None if none did (yet)."""
    name = job.execution.name
    for item in executions_since(connection, stack.train_arn, job):
        if item["name"].startswith(name) and _SUFFIX.fullmatch(item["name"], len(name)):
            return Execution(item["name"], item["executionArn"])
    return None


def continued_job(text: str) -> str | None:
    """Return the id of the job that an execution with this input goes on with; None if its own."""
    try:
        return str(json.loads(text)["continues"]["job_id"])
    except (ValueError, TypeError, LookupError):
        return None

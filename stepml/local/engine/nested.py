"""``states:startExecution`` in process: plain, ``.sync`` and ``.sync:2``."""

from __future__ import annotations

import datetime
import json
from typing import Any

from botocore.exceptions import ClientError
from moto.core.exceptions import JsonRESTError
from moto.stepfunctions.parser.api import ExecutionStatus
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.resource import (
    ResourceCondition,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_callback import (  # noqa: E501
    StateTaskServiceCallback,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_sfn import (  # noqa: E501
    StateTaskServiceSfn,
)
from moto.stepfunctions.parser.asl.utils.encoding import to_json_str
from moto.stepfunctions.parser.models import stepfunctions_parser_backends

from stepml.local.engine.failures import TASK_FAILED, task_failure
from stepml.local.seams import Seams

seams = Seams()

# The delay until a parent that was stopped, or whose Task timed out, stops its child.
STOP_CHECK_S = 0.02


@seams.replaces(
    StateTaskServiceSfn,
    "_eval_service_task",
    why="passes parameters in a spelling that boto3 refuses, creates a client for every call "
    "(50 ms), and calls a child without a name 'None'",
)
def start_child(
    self: Any,
    env: Any,
    resource_runtime_part: Any,
    normalised_parameters: dict[str, Any],
    state_credentials: Any,
) -> None:
    backend: Any = stepfunctions_parser_backends[resource_runtime_part.account][
        resource_runtime_part.region
    ]
    try:
        child = backend.start_execution(
            normalised_parameters["StateMachineArn"],
            normalised_parameters.get("Name"),
            normalised_parameters["Input"],
        )
    except JsonRESTError as error:
        raise _client_error(error) from error
    env.stack.append({"ExecutionArn": child.exec_arn, "StartDate": _milliseconds(child.start_date)})


def _client_error(error: JsonRESTError) -> ClientError:
    return ClientError(
        {
            "Error": {"Code": error.error_type, "Message": str(error.message)},
            "ResponseMetadata": {
                "HTTPStatusCode": error.code,
                "RequestId": "",
                "HTTPHeaders": {},
                "RetryAttempts": 0,
                "HostId": "",
            },
        },
        "StartExecution",
    )


@seams.replaces(
    StateTaskServiceSfn,
    "_eval_integration_pattern",
    why="polls the child every 0.5 s over HTTP, fails the second attempt of a retried Task (its "
    "task token is used), returns keys in the wrong spelling, and never stops the child",
)
def await_child(self: Any, env: Any, **kwargs: Any) -> None:
    if self.resource.condition == ResourceCondition.WaitForTaskToken:
        StateTaskServiceCallback._eval_integration_pattern(self, env=env, **kwargs)
        return
    runtime_part = kwargs["resource_runtime_part"]
    backend: Any = stepfunctions_parser_backends[runtime_part.account][runtime_part.region]
    child = backend.describe_execution(env.stack.pop()["ExecutionArn"])
    parse_json = self.resource.condition == ResourceCondition.Sync2
    while (description := _ended_child(child, parse_json=parse_json)) is None:
        if not env.is_running():
            child.stop(stop_date=None, error=None, cause=None)
    if description["Status"] != ExecutionStatus.SUCCEEDED.value:
        raise task_failure(self, env, TASK_FAILED, to_json_str(description))
    env.stack.append(description)


def _ended_child(child: Any, *, parse_json: bool) -> dict[str, Any] | None:
    """Return the result of a Task for its child, or None if the child has not ended for a while."""
    child.ended.wait(STOP_CHECK_S)
    with child.ending:  # a redrive may change it meanwhile
        if child.exec_status == ExecutionStatus.RUNNING:
            return None
        return child_description(child, parse_json=parse_json)


def child_description(child: Any, *, parse_json: bool) -> dict[str, Any]:
    """Return the result of a Task for a child that has ended.

    ``.sync:2`` (``parse_json``) gets input and output as JSON, ``.sync`` as strings.
    """
    description = {
        "ExecutionArn": child.exec_arn,
        "Input": json.loads(child.execution_input) if parse_json else child.execution_input,
        "InputDetails": {"Included": True},
        "Name": child.name,
        "RedriveCount": child.redrive_count,
        "StartDate": _milliseconds(child.start_date),
        "StateMachineArn": child.state_machine.arn,
        "Status": child.exec_status.value,
        "StopDate": _milliseconds(child.stop_date),
    }
    if child.exec_status == ExecutionStatus.SUCCEEDED:
        description["Output"] = child.output if parse_json else to_json_str(child.output)
        description["OutputDetails"] = {"Included": True}
    if child.error is not None:
        description["Error"] = child.error
    if child.cause is not None:
        description["Cause"] = child.cause
    return description


def _milliseconds(moment: datetime.datetime) -> int:
    return int(moment.timestamp() * 1000)

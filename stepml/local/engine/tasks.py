"""``lambda:invoke`` in process, with Step Functions' names of errors."""

from __future__ import annotations

import json
from typing import Any

from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_lambda import (  # noqa: E501
    StateTaskServiceLambda,
)

from stepml.local.engine.failures import task_failure
from stepml.local.functions import Invocation
from stepml.local.lambda_api import InvokeError, LambdaApi
from stepml.local.seams import Seams
from stepml.local.strict_json import DataError, strict_json


def task_seams(functions: LambdaApi) -> Seams:
    """Return the seams that run Task states directly in ``functions``, without HTTP."""
    seams = Seams()

    @seams.replaces(
        StateTaskServiceLambda,
        "_eval_service_task",
        why="creates a boto3 client for every call (50 ms), calls over HTTP, and names an error "
        "without a type 'Exception'",
    )
    def invoke_function(
        self: Any,
        env: Any,
        resource_runtime_part: Any,
        normalised_parameters: dict[str, Any],
        state_credentials: Any,
    ) -> None:
        try:
            invocation = functions.invoke(
                resource_runtime_part.account,
                resource_runtime_part.region,
                normalised_parameters["FunctionName"],
                normalised_parameters.get("Qualifier"),
                normalised_parameters.get("Payload", b"{}"),
                env.is_running,  # not once the execution, its Map or the Task's time has ended
            )
        except InvokeError as error:
            raise task_failure(self, env, f"Lambda.{error.code}", refusal_cause(error)) from error
        if invocation.error is not None:
            raise task_failure(self, env, error_type(invocation), invocation.payload.decode())
        try:
            env.stack.append(task_result(invocation))
        except DataError as error:
            cause = f"the function's result is no JSON that Step Functions accepts: {error}"
            raise task_failure(self, env, "Lambda.Unknown", cause) from error

    return seams


def task_result(invocation: Invocation) -> dict[str, Any]:
    """Return the result of a Task for a function that succeeded.

    Raises
    ------
    DataError
        The function's result is not JSON.
    """
    return {
        "ExecutedVersion": "$LATEST",
        "Payload": strict_json(invocation.payload.decode()),
        "SdkHttpMetadata": {"HttpStatusCode": 200},
        "SdkResponseMetadata": {"RequestId": invocation.request_id},
        "StatusCode": 200,
    }


def error_type(invocation: Invocation) -> str:
    """Return the name that Retry and Catch match for a function that failed."""
    try:
        description = json.loads(invocation.payload)
    except ValueError:
        description = None
    named = description.get("errorType") if isinstance(description, dict) else None
    # Step Functions' name for an error to which Lambda gives none.
    return str(named or "Lambda.Unknown")


def refusal_cause(error: InvokeError) -> str:
    """Return Step Functions' cause for a Task whose function Lambda refused to run."""
    return (
        f"{error.message} (Service: AWSLambda; Status Code: {error.status}; "
        f"Error Code: {error.code}; Proxy: null)"
    )

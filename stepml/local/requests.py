"""Requests that AWS refuses before the operation itself looks at them."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from botocore.model import OperationNotFoundError, Shape
from moto.core.exceptions import JsonRESTError
from moto.core.responses import BaseResponse
from moto.core.utils import get_service_model

from stepml.local.constraints import summary, violations, wrong_type
from stepml.local.seams import Seams

seams = Seams()

_call_action = BaseResponse.call_action

# Services with requests in JSON whose parameters moto does not check by itself.
CHECKED_SERVICES = frozenset({"stepfunctions", "logs"})

# Operations that moto accepts although nothing follows: no URL answers, no event source is read,
# no layer is loaded, no activity's task can be fetched.
WITHOUT_EFFECT = {
    "awslambda": frozenset(
        {
            "AddLayerVersionPermission",
            "CreateEventSourceMapping",
            "CreateFunctionUrlConfig",
            "DeleteEventSourceMapping",
            "DeleteFunctionUrlConfig",
            "DeleteLayerVersion",
            "GetEventSourceMapping",
            "GetFunctionCodeSigningConfig",
            "GetFunctionUrlConfig",
            "GetLayerVersion",
            "InvokeAsync",
            "ListEventSourceMappings",
            "ListLayerVersions",
            "ListLayers",
            "PublishLayerVersion",
            "RemoveLayerVersionPermission",
            "UpdateEventSourceMapping",
            "UpdateFunctionUrlConfig",
        }
    ),
    "stepfunctions": frozenset(
        {"CreateActivity", "DeleteActivity", "DescribeActivity", "ListActivities"}
    ),
}


@seams.replaces(
    BaseResponse, "call_action", why="accepts values that the model of the service forbids"
)
def call_action(self: Any) -> Any:
    without_effect = WITHOUT_EFFECT.get(self.service_name)
    if without_effect is not None and self._get_action() in without_effect:
        raise NotImplementedError
    if self.service_name in CHECKED_SERVICES:
        require_valid(self.service_name, self._get_action(), self.body)
    return _call_action(self)


def require_valid(service: str, operation: str, body: str) -> None:
    """Check the parameters of a request; operations that do not exist are not checked.

    Raises
    ------
    JsonRESTError
        SerializationException or ValidationException, as AWS names them.
    """
    shape = _input_shape(service, operation)
    if shape is None:
        return
    try:
        parameters = json.loads(body or "{}")
    except (ValueError, RecursionError) as error:
        raise JsonRESTError("SerializationException", f"the body is not JSON: {error}") from error
    mistaken = wrong_type(parameters, shape)
    if mistaken is not None:
        raise JsonRESTError("SerializationException", mistaken)
    problems = list(violations(parameters, shape))
    if problems:
        raise JsonRESTError("ValidationException", summary(problems))


@lru_cache(maxsize=256)
def _input_shape(service: str, operation: str) -> Shape | None:
    try:
        shape: Shape | None = get_service_model(service).operation_model(operation).input_shape
    except OperationNotFoundError:
        return None
    return shape

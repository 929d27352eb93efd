"""Requests that AWS refuses before the operation itself looks at them."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from botocore.model import OperationNotFoundError, Shape
from moto.core.exceptions import JsonRESTError
from moto.core.responses import BaseResponse
from moto.core.utils import camelcase_to_underscores, get_service_model

from stepml.local.constraints import summary, violations, wrong_type
from stepml.local.seams import Seams

seams = Seams()

_call_action = BaseResponse.call_action

# Services with requests in JSON whose parameters moto does not check by itself.
CHECKED_SERVICES = frozenset({"stepfunctions", "logs"})

# Operations that moto accepts although nothing follows: no URL answers, no event source is read,
# no layer is loaded, no activity's task can be fetched, no tail is alive.
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
            "GetLayerVersionPolicy",
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
    "logs": frozenset({"StartLiveTail"}),
    "stepfunctions": frozenset(
        {"CreateActivity", "DeleteActivity", "DescribeActivity", "ListActivities"}
    ),
}


@seams.replaces(
    BaseResponse, "call_action", why="accepts values that the model of the service forbids"
)
def call_action(self: Any) -> Any:
    service = self.service_name
    if service in WITHOUT_EFFECT or service in CHECKED_SERVICES:
        operation = self._get_action()
        if operation in WITHOUT_EFFECT.get(service, ()):
            raise NotImplementedError
        if service in CHECKED_SERVICES and hasattr(self, camelcase_to_underscores(operation)):
            require_valid(service, operation, self.body)
    return _call_action(self)


def require_valid(service: str, operation: str, body: str) -> None:
    """Check the parameters of a request, unless the model does not have its operation.

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

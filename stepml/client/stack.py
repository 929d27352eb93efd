"""Finds a deployed stack and the resources that its users need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stepml.client.connection import Connection, translated
from stepml.job.names import DEFAULT_STACK
from stepml.records.errors import ServiceRefusedError, StackNotFoundError


@dataclass(frozen=True, slots=True)
class Stack:
    """The outputs of a stack of ``templates/template.yaml``."""

    name: str
    bucket: str  # the durable store
    train_arn: str  # the state machine that trains jobs
    epoch_arn: str  # the state machine of their epochs
    # Of the template, as given; those that are secret are hidden.
    parameters: Mapping[str, str] = field(default_factory=dict)


def find_stack(connection: Connection, name: str = DEFAULT_STACK) -> Stack:
    """Find the stack ``name``.

    Raises
    ------
    StackNotFoundError
        There is no such stack, or it is no stack of StepML.
    AccessError
        CloudFormation cannot be reached or refuses.
    """
    found = _described(connection, name)
    outputs = {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", [])}
    parameters = {
        each["ParameterKey"]: each["ParameterValue"] for each in found.get("Parameters", [])
    }
    try:
        return Stack(
            name=name,
            bucket=outputs["Bucket"],
            train_arn=outputs["TrainStateMachineArn"],
            epoch_arn=outputs["EpochStateMachineArn"],
            parameters=parameters,
        )
    except KeyError as error:
        raise StackNotFoundError(
            f"stack {name!r} at {connection.place} is no stack of StepML: "
            f"it has no output {error.args[0]}"
        ) from None


def _described(connection: Connection, name: str) -> dict[str, Any]:
    try:
        with translated(connection.endpoint_url):
            answer = connection.client("cloudformation").describe_stacks(StackName=name)
    except ServiceRefusedError as error:
        # CloudFormation says ValidationError both for a missing stack and for a bad name.
        if error.code != "ValidationError":
            raise
        raise StackNotFoundError(
            f"no stack {name!r} at {connection.place}; {_advice(connection, name)}"
        ) from error
    return dict(answer["Stacks"][0]) if answer["Stacks"] else {}


def _advice(connection: Connection, name: str) -> str:
    if not connection.is_local:
        return "deploy it with: stepml deploy"
    if name == DEFAULT_STACK:
        return "deploy it with: stepml local up"
    return f"leave out --stack: stepml local up deploys {DEFAULT_STACK!r} alone"

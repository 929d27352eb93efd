"""Revisions of state machines: their ids, and the definition from an execution's start."""

from __future__ import annotations

import uuid
from typing import Any

from moto.core.exceptions import JsonRESTError
from moto.core.responses import ActionResult
from moto.stepfunctions.exceptions import ValidationException
from moto.stepfunctions.models import StateMachine
from moto.stepfunctions.parser.models import StepFunctionsParserBackend
from moto.stepfunctions.responses import StepFunctionResponse

from stepml.local.engine.starting import split
from stepml.local.seams import Seams

seams = Seams()

INITIAL = "INITIAL"  # the revision of a machine that has not changed

_create = StepFunctionsParserBackend.create_state_machine
_update = StateMachine.update
_update_response = StepFunctionResponse.update_state_machine
_describe_state_machine = StepFunctionResponse._describe_state_machine


@seams.replaces(
    StepFunctionsParserBackend,
    "create_state_machine",
    why="returns a machine of the same name, whatever its definition",
)
def create_state_machine(self: Any, name: str, definition: str, *args: Any, **given: Any) -> Any:
    for machine in self.state_machines:
        if machine.name == name and (machine.definition, machine.type) != (
            definition,
            given.get("sm_type") or machine.type,
        ):
            raise JsonRESTError(
                "StateMachineAlreadyExists", f"State Machine Already Exists: '{machine.arn}'"
            )
    return _create(self, name, definition, *args, **given)


@seams.replaces(
    StepFunctionResponse,
    "update_state_machine",
    why="fails for a version, which never changes, and returns no revision",
)
def update_response(self: Any) -> ActionResult:
    arn = self._get_param("stateMachineArn")
    if split(arn)[1] is not None:
        raise ValidationException(f"'{arn}' is qualified; a version cannot be updated")
    updated: Any = _update_response(self).result
    machine = self.stepfunction_backend.describe_state_machine(arn)
    return ActionResult({**updated, **_revision(machine)})


@seams.replaces(StateMachine, "update", why="sets no revision of a changed state machine")
def update_state_machine(self: Any, **changes: Any) -> None:
    is_changed = any(
        value is not None and value != getattr(self, name, None) for name, value in changes.items()
    )
    _update(self, **changes)
    if is_changed:
        self.revision_id = str(uuid.uuid4())


@seams.replaces(StepFunctionResponse, "_describe_state_machine", why="returns no revision")
def describe_state_machine(self: Any, state_machine_arn: str) -> ActionResult:
    described: Any = _describe_state_machine(self, state_machine_arn).result
    machine = self.stepfunction_backend.describe_state_machine(state_machine_arn)
    return ActionResult({**described, **_revision(machine)})


@seams.replaces(
    StepFunctionResponse,
    "describe_state_machine_for_execution",
    why="describes the present state machine",
)
def describe_state_machine_for_execution(self: Any) -> ActionResult:
    execution = self.stepfunction_backend.describe_execution(self._get_param("executionArn"))
    machine = execution.state_machine  # a copy from the execution's start
    return ActionResult(
        {
            "stateMachineArn": machine.arn,
            "name": machine.name,
            "definition": machine.definition,
            "roleArn": machine.roleArn,
            "updateDate": machine.update_date,
            "loggingConfiguration": machine.loggingConfiguration,
            "tracingConfiguration": machine.tracingConfiguration,
            "encryptionConfiguration": machine.encryptionConfiguration,
            **_revision(machine),
        }
    )


def revision_id(machine: Any) -> str | None:
    """Return the revision of a machine or a version; AWS: "The first revision ID … is null"."""
    return getattr(machine, "revision_id", None)


def _revision(machine: Any) -> dict[str, str]:
    revision = revision_id(machine)
    return {} if revision is None else {"revisionId": revision}

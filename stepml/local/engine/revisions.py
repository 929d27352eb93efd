"""Revisions of state machines: their ids, and the definition from an execution's start."""

from __future__ import annotations

import uuid
from typing import Any

from moto.core.responses import ActionResult
from moto.stepfunctions.models import StateMachine
from moto.stepfunctions.responses import StepFunctionResponse

from stepml.local.seams import Seams

seams = Seams()

_update = StateMachine.update
_describe_state_machine = StepFunctionResponse._describe_state_machine


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


def _revision(machine: Any) -> dict[str, str]:
    # AWS: "The first revision ID when you create the state machine is null."
    revision = getattr(machine, "revision_id", None)
    return {} if revision is None else {"revisionId": revision}

"""Versions and aliases of state machines."""

from __future__ import annotations

from operator import itemgetter
from typing import Any

from moto.core.exceptions import JsonRESTError
from moto.core.responses import ActionResult, EmptyResult
from moto.stepfunctions.exceptions import (
    InvalidArn,
    ResourceNotFound,
    StateMachineDoesNotExist,
    ValidationException,
)
from moto.stepfunctions.models import StateMachine, StateMachineAlias, StepFunctionBackend
from moto.stepfunctions.responses import StepFunctionResponse

from stepml.local.engine.pages import page
from stepml.local.engine.revisions import INITIAL, revision_id
from stepml.local.engine.starting import split
from stepml.local.seams import Seams

seams = Seams()

_publish = StateMachine.publish

MAX_VERSIONS = 1000  # of a state machine
MAX_ALIASES = 100


@seams.replaces(StepFunctionResponse, "publish_state_machine_version", why="is missing")
def publish_state_machine_version(self: Any) -> ActionResult:
    machine = _machine(self, self._get_param("stateMachineArn"))
    wanted, present = self._get_param("revisionId"), _revision(machine)
    if wanted is not None and wanted != present:
        raise JsonRESTError(
            "ConflictException",
            f"Failed to publish the State Machine version for revision {wanted}. "
            f"The current State Machine revision is {present}.",
        )
    machine.publish(self._get_param("description"))
    version = machine.latest_version
    return ActionResult(
        {"creationDate": version.creation_date, "stateMachineVersionArn": version.arn}
    )


@seams.replaces(
    StateMachine, "publish", why="publishes a revision again, and keeps no revision of a version"
)
def publish(self: Any, description: str | None) -> None:
    published = [
        version for version in self.versions.values() if _revision(version) == _revision(self)
    ]
    if published:
        self.latest_version = published[-1]
        return
    if len(self.versions) >= MAX_VERSIONS:
        raise JsonRESTError(
            "ServiceQuotaExceededException", f"{self.arn} has {MAX_VERSIONS} versions"
        )
    _publish(self, description)
    self.latest_version.revision_id = revision_id(self)


@seams.replaces(StepFunctionResponse, "list_state_machine_versions", why="is missing")
def list_state_machine_versions(self: Any) -> ActionResult:
    machine = _machine(self, self._get_param("stateMachineArn"))
    items = [
        {"stateMachineVersionArn": version.arn, "creationDate": version.creation_date}
        for _, version in sorted(machine.versions.items(), reverse=True)
    ]
    key = itemgetter("stateMachineVersionArn")
    return ActionResult(page(self, "stateMachineVersions", items, key=key))


@seams.replaces(StepFunctionResponse, "delete_state_machine_version", why="is missing")
def delete_state_machine_version(self: Any) -> ActionResult:
    arn = self._get_param("stateMachineVersionArn")
    machine_arn, number = split(arn)
    self.stepfunction_backend._validate_machine_arn(arn)
    if number is None or not number.isdecimal():
        raise InvalidArn(f"Invalid Arn: 'Resource type not valid in this context: {arn}'")
    machine = _find(self.stepfunction_backend, machine_arn)
    if machine is None or int(number) not in machine.versions:
        return EmptyResult()  # deleting is idempotent
    users = [alias.arn for alias in machine.aliases.values() if arn in _routes(alias)]
    if users:
        raise JsonRESTError(
            "ConflictException",
            "Version to be deleted must not be referenced by an alias. Current list of aliases "
            f"referencing this version: [{', '.join(users)}]",
        )
    del machine.versions[int(number)]
    return EmptyResult()


@seams.replaces(
    StepFunctionBackend,
    "create_state_machine_alias",
    why="replaces an alias of the same name, and looks at the first version alone",
)
def create_state_machine_alias(
    self: Any, name: str, routing_configuration: list[dict[str, Any]], description: str | None
) -> Any:
    machine = _routed_machine(self, routing_configuration)
    existing = machine.aliases.get(name)
    if existing is None:
        if len(machine.aliases) >= MAX_ALIASES:
            raise JsonRESTError(
                "ServiceQuotaExceededException", f"{machine.arn} has {MAX_ALIASES} aliases"
            )
        new: Any = StateMachineAlias  # its abstract methods are of CloudFormation alone
        alias = new(name, machine.arn, routing_configuration, description)
        return machine.aliases.setdefault(name, alias)
    if (existing.routing_configuration, existing.description) != (
        routing_configuration,
        description,
    ):
        raise JsonRESTError(
            "ConflictException",
            "Failed to create alias because an alias with the same name and a different routing "
            "configuration already exists.",
        )
    return existing


@seams.replaces(
    StepFunctionBackend,
    "describe_state_machine_alias",
    why="fails for what is no ARN, and names a missing machine instead of the alias",
)
def describe_state_machine_alias(self: Any, arn: str) -> Any:
    machine, name = _of_alias(self, arn)
    return machine.aliases[name]


@seams.replaces(StepFunctionBackend, "delete_state_machine_alias", why="fails for what is no ARN")
def delete_state_machine_alias(self: Any, arn: str) -> None:
    machine, name = _of_alias(self, arn)
    del machine.aliases[name]


def _of_alias(backend: Any, arn: str) -> tuple[Any, str]:
    """Return the machine of the alias ``arn``, and the alias's name."""
    backend._validate_machine_arn(arn)
    machine_arn, name = split(arn)
    machine = _find(backend, machine_arn)
    if machine is None or name not in machine.aliases:
        raise ResourceNotFound(arn)
    return machine, str(name)


@seams.replaces(
    StepFunctionBackend,
    "update_state_machine_alias",
    why="accepts versions that do not exist, or of another machine",
)
def update_state_machine_alias(
    self: Any,
    arn: str,
    description: str | None,
    routing_configuration: list[dict[str, Any]] | None,
) -> Any:
    alias = self.describe_state_machine_alias(arn=arn)
    if routing_configuration and (
        _routed_machine(self, routing_configuration).arn != alias.statemachine_arn
    ):
        raise ValidationException("The versions must belong to the alias's state machine.")
    alias.update(routing_configuration=routing_configuration or None, description=description)
    return alias


def _routed_machine(backend: Any, routes: list[dict[str, Any]]) -> Any:
    """Return the machine of the versions in ``routes``, all of which must exist."""
    for route in routes:
        arn = route["stateMachineVersionArn"]
        machine = _find(backend, split(arn)[0])
        if machine is None or all(version.arn != arn for version in machine.versions.values()):
            raise ResourceNotFound(arn)
    return machine


def _routes(alias: Any) -> list[str]:
    return [route["stateMachineVersionArn"] for route in alias.routing_configuration]


def _machine(response: Any, arn: str) -> Any:
    """Return the state machine with the unqualified ``arn``."""
    response.stepfunction_backend._validate_machine_arn(arn)
    machine = _find(response.stepfunction_backend, arn)
    if machine is None:
        raise StateMachineDoesNotExist(f"State Machine Does Not Exist: '{arn}'")
    return machine


def _find(backend: Any, arn: str) -> Any:
    return next((machine for machine in backend.state_machines if machine.arn == arn), None)


def _revision(machine: Any) -> str:
    return revision_id(machine) or INITIAL

"""StartExecution: by the ARN of a state machine, a version or an alias."""

from __future__ import annotations

import copy
import datetime
import random
import threading
import uuid
from dataclasses import dataclass
from typing import Any

from moto.stepfunctions.exceptions import StateMachineDoesNotExist
from moto.stepfunctions.parser.backend.execution import Execution
from moto.stepfunctions.parser.models import StepFunctionsParserBackend

from stepml.local.caches import Caches
from stepml.local.engine.payloads import require_input
from stepml.local.engine.servers import require_server
from stepml.local.seams import Seams

# Makes the comparison of a name with earlier executions, and the start, atomic.
_starting = threading.Lock()


@dataclass(frozen=True, slots=True)
class Target:
    """The machine, version or alias that an ARN names."""

    machine: Any
    version: Any = None  # of the machine, whose definition runs; None is the present revision
    alias: Any = None  # which chose the version

    def snapshot(self) -> Any:
        """Return a copy of the machine for one execution, with the version's settings."""
        taken = copy.copy(self.machine if self.version is None else self.version)
        taken.arn = self.machine.arn
        taken.executions = []
        return taken


def start_seams(caches: Caches) -> Seams:
    """Return the seam that starts an execution and, before it, the server of its channel."""
    seams = Seams()

    @seams.replaces(
        StepFunctionsParserBackend,
        "start_execution",
        why="accepts any name, calls one without a name 'None', has no error code for other "
        "input, and cannot start versions and aliases",
    )
    def start_execution(
        self: Any,
        state_machine_arn: str,
        name: str | None = None,
        execution_input: str | None = None,
        trace_header: Any = None,
    ) -> Any:
        name = str(uuid.uuid4()) if name is None else name
        given = "{}" if execution_input is None else execution_input
        self._validate_name(name)
        require_input(given)
        require_server(caches, given)
        with _starting:
            return _start(self, resolve(self, state_machine_arn), name, given, trace_header)

    return seams


def resolve(backend: Any, arn: str) -> Target:
    """Return the machine that ``arn`` names, with the version of a version or an alias.

    Raises
    ------
    AWSError
        InvalidArn, or StateMachineDoesNotExist.
    """
    backend._validate_machine_arn(arn)
    machine_arn, qualifier = split(arn)
    for machine in backend.state_machines:
        if machine.arn == machine_arn:
            target = _qualified(machine, qualifier)
            if target is not None:
                return target
    raise StateMachineDoesNotExist(f"State Machine Does Not Exist: '{arn}'")


def split(arn: str) -> tuple[str, str | None]:
    """Return the ARN of the machine, and the version or alias if ``arn`` has one."""
    parts = arn.split(":", 7)
    return ":".join(parts[:7]), parts[7] if len(parts) > 7 else None


def _qualified(machine: Any, qualifier: str | None) -> Target | None:
    if qualifier is None:
        return Target(machine)
    alias = machine.aliases.get(qualifier)
    number = chosen_version(alias) if alias is not None else qualifier
    version = machine.versions.get(int(number)) if number.isdecimal() else None
    return None if version is None else Target(machine, version, alias)


def chosen_version(alias: Any) -> str:
    """Draw a version of ``alias`` by its weights and return its number."""
    routes = alias.routing_configuration
    weights = [route["weight"] for route in routes]
    [chosen] = random.choices(routes, weights)  # noqa: S311 — no secret
    return str(split(chosen["stateMachineVersionArn"])[1])


def _start(backend: Any, target: Target, name: str, given: str, trace_header: Any) -> Any:
    machine = target.machine
    existing = machine._handle_name_input_idempotency(name, given)
    if existing is not None:
        return existing
    snapshot = target.snapshot()
    execution: Any = Execution(
        name=name,
        sm_type=snapshot.sm_type,
        role_arn=snapshot.roleArn,
        exec_arn=f"{machine.arn.replace(':stateMachine:', ':execution:', 1)}:{name}",
        account_id=backend.account_id,
        region_name=backend.region_name,
        state_machine=snapshot,
        start_date=datetime.datetime.now(tz=datetime.UTC),
        cloud_watch_logging_session=None,
        input_data=given,
        trace_header=trace_header,
        activity_store={},
    )
    execution.version_arn = None if target.version is None else target.version.arn
    execution.alias_arn = None if target.alias is None else target.alias.arn
    machine.executions.append(execution)
    execution.start()
    return execution


def qualified_arns(execution: Any) -> dict[str, str]:
    """Return the version and the alias by which ``execution`` was started, as AWS lists them."""
    arns = {
        "stateMachineVersionArn": execution.version_arn,
        "stateMachineAliasArn": execution.alias_arn,
    }
    return {name: arn for name, arn in arns.items() if arn is not None}

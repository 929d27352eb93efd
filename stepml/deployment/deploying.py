"""Deploys one template as a stack."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stepml.client.connection import Connection
from stepml.deployment import inbox, versions
from stepml.deployment.artefacts import Artefacts, Place
from stepml.deployment.errors import DeploymentError
from stepml.deployment.records import ChangeSet, StackState
from stepml.deployment.stacks import Stacks
from stepml.deployment.templates import (
    ALIAS_OUTPUT,
    Archives,
    OwnFiles,
    digest,
    packed,
    read_template,
    with_alias,
)

Consent = Callable[[ChangeSet], None]  # raises an error to refuse


@dataclass(frozen=True, slots=True)
class Deployer:
    """Deploys templates into one account and region.

    Parameters
    ----------
    connection : Connection
    place : Place
        The account and region of the connection.
    archives : Archives
    stacks : Stacks
    consent : callable
        Gets the changes before they are made; it raises an error to refuse them.
    tags : mapping
        Of all stacks, and of their resources.
    """

    connection: Connection
    place: Place
    archives: Archives
    stacks: Stacks
    consent: Consent = lambda change_set: None
    tags: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def with_own_files(cls, connection: Connection, place: Place) -> Deployer:
        """Return a deployer for functions that have the libraries of this machine."""
        return cls(connection, place, OwnFiles(), Stacks(connection))

    @property
    def artefacts(self) -> Artefacts:
        return Artefacts(self.connection, self.place)

    def deploy(self, template_path: Path, name: str, parameters: Mapping[str, str]) -> StackState:
        """Create the stack ``name``, or update it if anything has changed, and return it.

        Parameters
        ----------
        template_path : Path
            A template; its code and definitions are packed and uploaded.
        name : str
        parameters : mapping
            Values of the template's parameters. The others keep their values, or have their
            defaults in a new stack.

        Raises
        ------
        TemplateError
            The template is missing or invalid, or CloudFormation refuses it.
        DeploymentError
            CloudFormation failed; the stack is as it was before.
        """
        template = read_template(template_path)
        artefacts = self.artefacts
        artefacts.require_bucket()
        ready = packed(template, template_path.parent, self.archives, artefacts.upload)
        stack = self.stacks.ready(name)
        _require_own(template, stack)
        text = json.dumps(_named(ready, stack, parameters)).encode()
        key = f"templates/{digest(text)}.json"
        artefacts.upload(key, text)
        given = _parameters(template, stack, parameters)
        change_set = self.stacks.propose(name, artefacts.url(key), stack, given, self.tags)
        deployed = stack if change_set is None else self._changed(change_set)
        assert deployed is not None
        inbox.connect(self.connection, deployed)
        if change_set is not None:
            versions.delete_old(self.connection, deployed)
        return deployed

    def _changed(self, change_set: ChangeSet) -> StackState:
        try:
            self.consent(change_set)
        except BaseException:
            self.stacks.discard(change_set)
            raise
        return self.stacks.execute(change_set)


def _named(
    template: Mapping[str, Any], stack: StackState | None, given: Mapping[str, str]
) -> dict[str, Any]:
    """Return the template with the name of the deployment."""
    if stack is None:
        return with_alias(template, given, {}, "")
    current = stack.outputs.get(ALIAS_OUTPUT, "")
    return with_alias(template, given, stack.parameters, current)


def _require_own(template: Mapping[str, Any], stack: StackState | None) -> None:
    """Raise `DeploymentError` if a stack is somebody else's, whose resources would be deleted."""
    names = template.get("Parameters", {})
    if stack is not None and names and not stack.parameters.keys() & names:
        raise DeploymentError(
            f"a stack {stack.name!r} exists that StepML has not made (it has none of the "
            "parameters); choose another name by --stack"
        )


def _parameters(
    template: Mapping[str, Any], stack: StackState | None, given: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return the parameters of a request: given ones, and those that keep their values."""
    kept = {} if stack is None else stack.parameters
    names = template.get("Parameters", {})
    return [
        *({"ParameterKey": name, "ParameterValue": value} for name, value in given.items()),
        *(
            {"ParameterKey": name, "UsePreviousValue": True}
            for name in names
            if name in kept and name not in given
        ),
    ]

"""Removes a deployment: its jobs, its stacks in reverse order, and on request all it has stored."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from stepml.client.client import Client
from stepml.client.connection import Connection, translated
from stepml.client.running_jobs import running_jobs, training_machines
from stepml.deployment.artefacts import Place, bucket_exists
from stepml.deployment.components import (
    CHANNELS,
    COMPONENTS,
    NETWORK,
    SERVER,
    is_component,
    stack_name,
)
from stepml.deployment.emptying import Holdings, delete_bucket, holdings
from stepml.deployment.errors import DeploymentError
from stepml.deployment.inbox import Inbox
from stepml.deployment.leftovers import bucket_name, delete_log_groups, existing_log_groups
from stepml.deployment.records import REVIEW, Change, StackEvent, StackState
from stepml.deployment.secrets import Secret, Secrets
from stepml.deployment.servers import delete_snapshots
from stepml.deployment.stacks import Stacks
from stepml.records.errors import StackNotFoundError

RETAINED = "AWS::S3::Bucket"  # which outlives its stack
INTERFACES_WAIT_S = 3600.0  # Lambda releases its interfaces in a network within 20 to 40 minutes


@dataclass(frozen=True, slots=True)
class Inventory:
    """The stacks, jobs, buckets and log groups of a deployment."""

    stacks: Sequence[StackState]  # the first one to be deleted first
    resources: Sequence[Change]  # that go with the stacks
    jobs: Sequence[str]  # names of running jobs
    bucket: Holdings | None  # with models, reports and data, made by the deployment
    own_bucket: str  # another one that the stack uses, and that nobody deletes; or empty
    artefacts: Holdings | None  # the bucket of artefacts, unless another stack needs it
    log_groups: Sequence[str]  # of earlier stacks, too
    secrets: Sequence[Secret] = ()  # of servers; some may be deleted, and can be restored

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to delete."""
        held = (self.stacks, self.bucket, self.artefacts, self.log_groups, self.secrets)
        return not any(held)


@dataclass(slots=True)
class Destruction:
    """Removes one deployment.

    Parameters
    ----------
    connection : Connection
    place : Place
        The account and region of the connection.
    name : str
        Of the main stack.
    report : callable
        Gets each event of CloudFormation as it comes.
    say : callable
        Gets lines for people.
    """

    connection: Connection
    place: Place
    name: str
    report: Callable[[StackEvent], None] = lambda event: None
    say: Callable[[str], None] = lambda line: None
    interfaces_wait_s: float = INTERFACES_WAIT_S

    @property
    def _stacks(self) -> Stacks:
        return Stacks(self.connection, self.report)

    @property
    def _secrets(self) -> Secrets:
        return Secrets(self.connection, self.name)

    def inventory(self) -> Inventory:
        """Return everything that exists of the deployment."""
        found = [
            (each, self._stacks.find(stack_name(self.name, each))) for each in reversed(COMPONENTS)
        ]
        stacks = [stack for each, stack in found if stack and is_component(stack, each)]
        usual = bucket_name(self.name, self.place)
        used = next(
            (each.outputs.get("Bucket", "") for each in stacks if each.name == self.name), ""
        )
        return Inventory(
            stacks,
            [change for stack in stacks for change in self._resources(stack)],
            self._running(stacks),
            holdings(self.connection, usual),
            used if used != usual else "",
            None if self._others() else holdings(self.connection, self.place.bucket),
            self._log_groups(),
            [each for each in map(self._secrets.find, CHANNELS) if each is not None],
        )

    def destroy(self, inventory: Inventory, everything: bool) -> None:
        """Delete what ``inventory`` lists.

        Parameters
        ----------
        inventory : Inventory
        everything : bool
            Whether to delete the buckets and the logs, too.

        Raises
        ------
        DeploymentError
            Something cannot be deleted; the message names it.
        """
        self._stop(inventory.jobs)
        self._close_inbox(self._main(inventory.stacks))
        for stack in inventory.stacks:
            if stack.name == stack_name(self.name, NETWORK):
                self._await_interfaces(stack)
            self._delete(stack)
            if stack.name == stack_name(self.name, SERVER):
                delete_snapshots(self.connection, self.place, self.name)
        for secret in inventory.secrets:
            if everything or not secret.is_deleted:
                self._secrets.delete(secret, recoverable=not everything)
        if everything:
            self._delete_stored(inventory)

    def _close_inbox(self, main: StackState | None) -> None:
        """Remove what the deployment has set on the bucket, which may outlive the stack."""
        bucket = "" if main is None else main.outputs.get("Bucket", "")
        if bucket and bucket_exists(self.connection, bucket, self.place.account):
            Inbox(self.connection, self.name, bucket).disconnect()

    def _delete(self, stack: StackState) -> None:
        if stack.status == REVIEW:
            with translated(self.connection.endpoint_url):
                self.connection.client("cloudformation").delete_stack(StackName=stack.id)
            return
        self._stacks.delete(stack)

    def _delete_stored(self, inventory: Inventory) -> None:
        for held in (inventory.bucket, inventory.artefacts):
            if held is not None:
                self.say(f"deleting the bucket {held.bucket}")
                delete_bucket(self.connection, held.bucket)
        # Lambda may have written to one after its deletion.
        delete_log_groups(self.connection, self._log_groups())

    def _log_groups(self) -> list[str]:
        return existing_log_groups(self.connection, self.name, with_former=True)

    def _stop(self, jobs: Sequence[str]) -> None:
        if not jobs:
            return
        client = Client(self.connection, self.name)
        for job in jobs:
            self.say(f"stopping {job}")
            client.named(job).stop("by stepml destroy")

    def _running(self, stacks: Sequence[StackState]) -> list[str]:
        main = self._main(stacks)
        machine = None if main is None else main.outputs.get("TrainStateMachineArn")
        return [] if machine is None else running_jobs(self.connection, [machine])

    def _main(self, stacks: Sequence[StackState]) -> StackState | None:
        return next((each for each in stacks if each.name == self.name), None)

    def _others(self) -> bool:
        """Return whether another stack of StepML is in this account and region."""
        suffix = f":{self.name}-train"
        return any(not arn.endswith(suffix) for arn in training_machines(self.connection))

    def _resources(self, stack: StackState) -> list[Change]:
        if stack.status == REVIEW:
            return []
        pages = self.connection.client("cloudformation").get_paginator("list_stack_resources")
        with translated(self.connection.endpoint_url):
            return [
                Change("Remove", each["LogicalResourceId"], each["ResourceType"])
                for page in pages.paginate(StackName=stack.id)
                for each in page["StackResourceSummaries"]
                if each.get("ResourceType") and each["ResourceType"] != RETAINED
            ]

    def _await_interfaces(self, network: StackState) -> None:
        """Wait until Lambda has released its interfaces, without which a network cannot go."""
        subnets = network.outputs.get("SubnetIds", "").split(",")
        deadline, was_said = time.monotonic() + self.interfaces_wait_s, False
        while left := self._interfaces(subnets):
            if not was_said:
                self.say("waiting until Lambda releases its network interfaces: up to 40 minutes")
                was_said = True
            if time.monotonic() > deadline:
                named = [f"{each['NetworkInterfaceId']} ({each['Description']})" for each in left]
                raise DeploymentError(
                    f"stack {network.name!r} is left, because of network interfaces in it: "
                    f"{', '.join(named)}. If they are of Lambda, repeat stepml destroy later"
                )
            time.sleep(self.connection.poll_s)

    def _interfaces(self, subnets: Sequence[str]) -> list[Any]:
        filters = [{"Name": "subnet-id", "Values": [*filter(None, subnets)]}]
        if not filters[0]["Values"]:
            return []
        with translated(self.connection.endpoint_url):
            answer = self.connection.client("ec2").describe_network_interfaces(Filters=filters)
        return list(answer["NetworkInterfaces"])


def require_some(inventory: Inventory, name: str, place: str) -> None:
    """Raise `StackNotFoundError` if there is nothing to delete."""
    if inventory.is_empty:
        raise StackNotFoundError(f"there is no stack {name!r} at {place}, and nothing it has left")

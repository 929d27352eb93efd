"""AWS::AutoScaling::AutoScalingGroup: programs of VMs, which run on this machine."""

from __future__ import annotations

import logging
from typing import Any

from moto.autoscaling.models import FakeAutoScalingGroup
from moto.secretsmanager.models import secretsmanager_backends

from stepml.local.channel_programs import CacheError
from stepml.local.seams import Seams
from stepml.local.stack_servers.servers import StackServers
from stepml.local.stack_servers.virtual_machine import Machine, VirtualMachine
from stepml.local_identity import ACCOUNT_ID, REGION

OWN_INTERFACE = "Primary network interface"  # that moto makes for a VM
logger = logging.getLogger(__name__)

_create_group = vars(FakeAutoScalingGroup)["create_from_cloudformation_json"].__func__
_delete_group = FakeAutoScalingGroup.delete


def machine_seams(servers: StackServers, endpoint_url: str, first_port: int) -> Seams:
    """Return the seams of groups of VMs, whose programs are ``servers``."""
    seams = Seams()

    @seams.replaces(
        FakeAutoScalingGroup,
        "create_from_cloudformation_json",
        why="starts no program",
        kind=classmethod,
    )
    def create_group(cls: Any, resource_name: str, resource: Any, *where: Any, **more: Any) -> Any:
        group = _create_group(cls, resource_name, resource, *where, **more)
        group.machine = Machine.of_metadata(resource.get("Metadata", {}))
        start(group)
        return group

    def start(group: Any) -> None:
        """Start the program of a group's VM, if it has one."""
        machine: Machine | None = group.machine
        if machine is not None:
            directory = servers.directory(group.name)
            program = VirtualMachine(machine, directory, endpoint_url, first_port, read_secret)
            servers.add(group.name, program, machine.address)
            try:
                servers.start(group.name)
            except CacheError as error:  # a VM tries on; nobody waits for it
                logger.warning("the VM of %s: %s", group.name, error)

    FakeAutoScalingGroup.resume = start  # type: ignore[attr-defined]

    @seams.replaces(
        FakeAutoScalingGroup, "delete", why="ends no program, and leaves interfaces of its VMs"
    )
    def delete_group(self: Any, account_id: str, region_name: str) -> None:
        servers.remove(self.name)
        own = [nic for each in self.instance_states for nic in each.instance.nics.values()]
        _delete_group(self, account_id, region_name)
        for interface in own:
            if interface.description == OWN_INTERFACE:
                interface.delete()

    @seams.replaces(
        FakeAutoScalingGroup,
        "update_from_cloudformation_json",
        why="deletes by the name, which ends no program",
        kind=classmethod,
    )
    def update_group(
        cls: Any,
        original_resource: Any,
        new_resource_name: str,
        cloudformation_json: Any,
        account_id: str,
        region_name: str,
    ) -> Any:
        original_resource.delete(account_id, region_name)
        return create_group(cls, new_resource_name, cloudformation_json, account_id, region_name)

    return seams


def read_secret(arn: str, version: str) -> str:
    """Return the value of a secret: of a version, or the present one."""
    backend = secretsmanager_backends[ACCOUNT_ID][REGION]
    stage = "" if version else "AWSCURRENT"
    return str(backend.get_secret_value(arn, version, stage)["SecretString"])

"""Networks: what moto leaves behind when a stack is deleted."""

from __future__ import annotations

from typing import Any

from moto.ec2.models import ec2_backends
from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.ec2.models.route_tables import RouteTable
from moto.ec2.models.vpcs import VPCEndPoint

from stepml.local.seams import Seams

seams = Seams()

_delete_interface = NetworkInterface.delete


@seams.replaces(
    NetworkInterface, "delete", why="cannot be called by CloudFormation, which then deletes nothing"
)
def delete_interface(self: Any, *where: str) -> None:
    _delete_interface(self)


@seams.replaces(
    VPCEndPoint,
    "delete_from_cloudformation_json",
    why="has no deletion",
    kind=classmethod,
)
def delete_endpoint(
    cls: Any, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str
) -> None:
    backend = ec2_backends[account_id][region_name]
    endpoint = backend.vpc_end_points.pop(resource_name, None)
    for interface in [] if endpoint is None else endpoint.network_interface_ids:
        backend.enis.pop(interface, None)


@seams.replaces(
    RouteTable,
    "delete_from_cloudformation_json",
    why="has no deletion",
    kind=classmethod,
)
def delete_route_table(
    cls: Any, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str
) -> None:
    ec2_backends[account_id][region_name].route_tables.pop(resource_name, None)

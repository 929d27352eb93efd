"""Chooses availability zones that have the types of servers, and checks the network's addresses."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Network

from stepml.client.connection import Connection, translated

_PRIVATE = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))
_GRAVITON = re.compile(r"^[a-z]+\d+g")
DEFAULT_CIDR_PREFIX = "10.74"
SECOND_SUBNET = 16  # the third number of its first addresses, in network.yaml
SERVER_HOST = 10  # of its subnet; AWS takes the first four addresses of each


class ZoneError(ValueError):
    """No zone, or none of those that are asked for, has the servers' types."""


def zones_for(
    connection: Connection, types: Sequence[str], asked: Sequence[str] = ()
) -> tuple[str, str]:
    """Return two zones of the region; the first one has all types of instances.

    The second one has them, too, if any other zone does.

    Parameters
    ----------
    connection : Connection
    types : sequence of str
        Types of EC2; the nodes of ElastiCache have the same ones behind ``cache.``.
    asked : sequence of str
        The zones that somebody has chosen, or none.

    Raises
    ------
    ZoneError
        The message names the types and the zones that have them.
    """
    wanted = [each.removeprefix("cache.") for each in types]
    offered = {zone: set[str]() for zone in _zones(connection)}
    for zone, kind in _offerings(connection, wanted):
        offered.setdefault(zone, set()).add(kind)
    good = [zone for zone, kinds in sorted(offered.items()) if kinds >= {*wanted}]
    named = " and ".join(types)
    if asked:
        if asked[0] not in good:
            raise ZoneError(
                f"--parameter FirstZone: expected a zone that has {named}, one of "
                f"{', '.join(good) or 'none in this region'}; got {asked[0]!r}"
            )
        return asked[0], asked[1]
    if not good:
        raise ZoneError(f"no zone of this region has {named}; choose other types by --parameter")
    others = [zone for zone in (*good[1:], *sorted(offered)) if zone != good[0]]
    if not others:
        raise ZoneError("this region has one zone alone, and two are needed")
    return good[0], others[0]


def zones_with(connection: Connection, instance_type: str) -> list[str]:
    """Return the zones of the region that have a type of instances."""
    return sorted(zone for zone, _ in _offerings(connection, [instance_type]))


def address_problem(prefix: str) -> str | None:
    """Return why ``prefix`` cannot begin the network's addresses, or None if it can.

    Parameters
    ----------
    prefix : str
        The parameter CidrPrefix, such as ``10.74``; the network has all addresses behind it.
    """
    try:
        network = IPv4Network(f"{prefix}.0.0/16")
        is_private = any(network.subnet_of(each) for each in _PRIVATE)
    except ValueError:
        is_private = False
    if is_private:
        return None
    return (
        "--parameter CidrPrefix: expected the first two numbers of private addresses, 10.0 to "
        f"10.255, 172.16 to 172.31 or 192.168, got {prefix!r}"
    )


def server_address(prefix: str, is_in_second: bool = False) -> str:
    """Return the parameter server's address in the first or the second subnet of a network."""
    return f"{prefix}.{SECOND_SUBNET if is_in_second else 0}.{SERVER_HOST}"


def architecture_of(instance_type: str) -> str:
    """Return the processor architecture of a type of instances: ``x86_64`` or ``arm64``."""
    return "arm64" if _GRAVITON.match(instance_type) else "x86_64"


def _zones(connection: Connection) -> list[str]:
    ec2 = connection.client("ec2")
    with translated(connection.endpoint_url):
        answer = ec2.describe_availability_zones(
            Filters=[
                {"Name": "zone-type", "Values": ["availability-zone"]},
                {"Name": "state", "Values": ["available"]},
            ]
        )
    return [each["ZoneName"] for each in answer["AvailabilityZones"]]


def _offerings(connection: Connection, types: Sequence[str]) -> list[tuple[str, str]]:
    pages = connection.client("ec2").get_paginator("describe_instance_type_offerings")
    with translated(connection.endpoint_url):
        return [
            (each["Location"], each["InstanceType"])
            for page in pages.paginate(
                LocationType="availability-zone",
                Filters=[{"Name": "instance-type", "Values": [*types]}],
            )
            for each in page["InstanceTypeOfferings"]
        ]

"""Looks at what servers need before anything is made: zones, addresses, the network of a stack."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from stepml.client.connection import Connection
from stepml.deployment.components import MAIN, NETWORK, SERVER, Plan
from stepml.deployment.idle import type_of
from stepml.deployment.parameters import OF_CHANNEL
from stepml.deployment.records import StackState
from stepml.deployment.zones import ZoneError, address_problem, zones_for, zones_with
from stepml.job.channels import PARAMETER_SERVER

ZONES = ("FirstZone", "SecondZone")  # parameters of the network
FIRST, SECOND = "First", "Second"  # its subnets, as in the names of its outputs


@dataclass(frozen=True, slots=True)
class Site:
    """The place of servers."""

    zones: Sequence[str] = ()  # the two zones of a new network; none if there is one
    server_subnet: str = FIRST  # of the parameter server: FIRST or SECOND
    problems: Sequence[str] = ()  # what is in the way
    notes: Sequence[str] = ()  # lines for people


@dataclass(frozen=True, slots=True)
class Survey:
    """The wanted and the existing servers, with their parameters.

    Parameters
    ----------
    connection : Connection
    plan : Plan
    stacks : mapping
        Those that exist, by component.
    given : mapping
        Parameters that somebody has given.
    types : mapping
        Types of the servers, by parameter.
    """

    connection: Connection
    plan: Plan
    stacks: Mapping[str, StackState]
    given: Mapping[str, str]
    types: Mapping[str, str]

    def site(self) -> Site:
        """Return the place of all servers, with all problems together."""
        if not self.plan.wanted:
            return Site()
        problems = [*self._address_problems(), *self._own_network_problems()]
        zones: Sequence[str] = ()
        subnet = FIRST
        try:
            if NETWORK in self.stacks:
                subnet = self._server_subnet(self.stacks[NETWORK])
            else:
                zones = self._new_zones()
        except ZoneError as error:
            problems.append(str(error))
        return Site(zones, subnet, tuple(problems), tuple(self._notes()))

    def _address_problems(self) -> Iterator[str]:
        prefix, network = self.given.get("CidrPrefix"), self.stacks.get(NETWORK)
        if prefix is not None and (problem := address_problem(prefix)):
            yield problem
        if network is None:
            return
        for name in ("CidrPrefix", *ZONES):
            if self.given.get(name, kept := network.parameters.get(name, "")) != kept:
                yield (
                    f"--parameter {name}: the network exists, with {kept or 'the usual one'}, and "
                    "servers and functions are in it; another one needs stepml destroy first"
                )

    def _own_network_problems(self) -> Iterator[str]:
        main = self.stacks.get(MAIN)
        if main is not None and NETWORK not in self.stacks and main.parameters.get("SubnetIds"):
            yield (
                "--with: the stack is in a network of your own (its parameter SubnetIds), and the "
                "servers would be in another one, which it cannot reach; to leave yours: "
                "stepml deploy --parameter SubnetIds= --parameter SecurityGroupIds="
            )

    def _notes(self) -> Iterator[str]:
        main = self.stacks.get(MAIN)
        for channel, (address, *_) in OF_CHANNEL.items():
            own = "" if main is None else main.parameters.get(address, "")
            if own and channel not in self.plan.present:
                end = "is replaced" if channel in self.plan.wanted else "is reached from a network"
                yield f"the server of {channel} at {own}, which is your own, {end}"

    def _new_zones(self) -> tuple[str, str]:
        asked = [self.given[name] for name in ZONES if self.given.get(name)]
        if len(asked) == 1:
            raise ZoneError("--parameter FirstZone, SecondZone: give both, or neither")
        wanted = [type_of(channel, self.types) for channel in self.plan.ordered]
        return zones_for(self.connection, [*dict.fromkeys(wanted)], asked)

    def _server_subnet(self, network: StackState) -> str:
        """Return the subnet of the parameter server in a network that exists."""
        if PARAMETER_SERVER not in self.plan.wanted:
            return FIRST
        kind, server = self.types["InstanceType"], self.stacks.get(SERVER)
        zone_of = {each: _zone(network, each) for each in (FIRST, SECOND)}
        if server is not None:  # it keeps its address
            subnet = network.outputs.get("SecondSubnetId")
            present = SECOND if server.parameters.get("SubnetId") == subnet else FIRST
            if kind == server.parameters.get("InstanceType"):
                return present
            zone_of = {present: zone_of[present]}
        good = zones_with(self.connection, kind)
        for each, zone in zone_of.items():
            if zone in good:
                return each
        raise ZoneError(
            f"--parameter InstanceType: expected a type that {' or '.join(zone_of.values())} has, "
            f"the network's zone, got {kind!r}; other zones need stepml destroy first"
        )


def _zone(network: StackState, subnet: str) -> str:
    """Return the zone of a subnet, also while the network is being made."""
    return network.outputs.get(f"{subnet}SubnetZone") or network.parameters.get(f"{subnet}Zone", "")

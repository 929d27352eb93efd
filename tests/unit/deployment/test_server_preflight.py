"""Servers get zones that have their types, in the network that exists or in a new one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stepml.client.connection import Connection, connect_local
from stepml.deployment.artefacts import Place
from stepml.deployment.components import CACHE, MAIN, NETWORK, SERVER, Plan, is_component
from stepml.deployment.names import problems
from stepml.deployment.parameters import types
from stepml.deployment.records import StackState
from stepml.deployment.server_preflight import FIRST, SECOND, Site, Survey
from stepml.deployment.zones import ZoneError, zones_for
from tests.support.moto_server import moto_server

OLD_ZONE = "us-east-1e"  # without newer types
PS = "parameter_server"


@pytest.fixture(scope="module")
def connection() -> Iterator[Connection]:
    with moto_server() as endpoint_url:
        yield connect_local(endpoint_url)


def stack(outputs: dict[str, str] | None = None, **parameters: str) -> StackState:
    return StackState("id", "name", "CREATE_COMPLETE", outputs or {}, parameters, {})


def network(first: str, second: str) -> StackState:
    outputs = {"FirstSubnetZone": first, "SecondSubnetZone": second}
    outputs |= {"FirstSubnetId": "subnet-1", "SecondSubnetId": "subnet-2"}
    return stack(outputs, CidrPrefix="10.74", FirstZone=first, SecondZone=second)


def site(
    connection: Connection,
    added: tuple[str, ...],
    stacks: dict[str, StackState] | None = None,
    **given: str,
) -> Site:
    found = stacks or {}
    return Survey(connection, Plan.of(found, added, ()), found, given, types(found, given)).site()


def test_a_new_network_is_in_zones_that_have_all_types(connection: Connection) -> None:
    assert site(connection, (PS, "redis")) == Site(("us-east-1a", "us-east-1b"))
    asked = site(connection, ("redis",), FirstZone="us-east-1b", SecondZone=OLD_ZONE)
    assert asked.zones == ("us-east-1b", OLD_ZONE)
    assert site(connection, (), {}) == Site()
    wrong = site(connection, (PS,), CidrPrefix="8.8", FirstZone=OLD_ZONE, SecondZone="us-east-1a")
    assert [each.partition(":")[0] for each in wrong.problems] == [
        "--parameter CidrPrefix",
        "--parameter FirstZone",
    ]
    (one,) = site(connection, (PS,), FirstZone="us-east-1a").problems
    assert one == "--parameter FirstZone, SecondZone: give both, or neither"


@pytest.mark.parametrize(
    ("zones", "subnet"),
    [
        (("us-east-1a", "us-east-1b"), FIRST),
        ((OLD_ZONE, "us-east-1b"), SECOND),
        (("us-east-1a", OLD_ZONE), FIRST),
    ],
)
def test_a_server_is_in_the_subnet_whose_zone_has_its_type(
    connection: Connection, zones: tuple[str, str], subnet: str
) -> None:
    assert site(connection, (PS,), {NETWORK: network(*zones)}) == Site((), subnet)


def test_a_network_that_is_being_made_has_its_zones(connection: Connection) -> None:
    begun = stack(CidrPrefix="10.74", FirstZone=OLD_ZONE, SecondZone="us-east-1b")
    assert site(connection, (PS,), {NETWORK: begun}) == Site((), SECOND)


def test_a_network_without_such_a_zone_is_named(connection: Connection) -> None:
    found = {NETWORK: network(OLD_ZONE, OLD_ZONE)}
    (problem,) = site(connection, (PS,), found).problems
    assert problem.startswith("--parameter InstanceType: expected a type that us-east-1e")
    assert site(connection, ("redis",), found).problems == ()


def test_a_server_keeps_its_subnet(connection: Connection) -> None:
    found = {
        NETWORK: network("us-east-1a", OLD_ZONE),
        SERVER: stack(PrivateIp="10.74.16.10", SubnetId="subnet-2", InstanceType="c4.large"),
    }
    assert site(connection, (), found) == Site((), SECOND)
    (problem,) = site(connection, (), found, InstanceType="c7i.large").problems
    assert "us-east-1e has" in problem


def test_addresses_and_zones_of_a_network_stay(connection: Connection) -> None:
    found = {NETWORK: network("us-east-1a", "us-east-1b")}
    same = {"CidrPrefix": "10.74", "FirstZone": "us-east-1a"}
    assert not site(connection, ("redis",), found, **same).problems
    (problem,) = site(connection, ("redis",), found, CidrPrefix="10.75").problems
    assert problem.startswith("--parameter CidrPrefix: the network exists, with 10.74")


def test_servers_and_networks_of_ones_own_are_not_cut_off_in_silence(
    connection: Connection,
) -> None:
    own = {MAIN: stack(SubnetIds="subnet-9", RedisUrl="redis://a:1", MemcachedUrl="")}
    (problem,) = site(connection, ("memcached",), own).problems
    assert problem.startswith("--with: the stack is in a network of your own")
    public = {MAIN: stack(SubnetIds="", RedisUrl="redis://a:1")}
    found = site(connection, ("memcached",), public)
    assert (found.problems, len(found.notes)) == ((), 1)
    assert "redis at redis://a:1, which is your own" in found.notes[0]
    assert "is replaced" in site(connection, ("redis",), public).notes[0]


def test_a_stack_of_another_kind_is_no_server(connection: Connection) -> None:
    main = stack(ExecutorMemory="3008")
    for component in (NETWORK, CACHE, SERVER):
        assert not is_component(main, component)
    assert is_component(stack(PrivateIp="10.74.0.10"), SERVER)
    (problem,) = problems("my-ps", Place("123456789012", "us-east-1"))
    assert "without -ps at its end" in problem


def test_zones_are_needed_before_anything_is_made(connection: Connection) -> None:
    types_of_all = ["cache.t4g.small", "c7i.large"]
    assert zones_for(connection, types_of_all) == ("us-east-1a", "us-east-1b")
    with pytest.raises(ZoneError, match=r"no zone of this region has c99\.large"):
        zones_for(connection, ["c99.large"])

"""Plans of servers: what is there stays, what is named comes or goes; prices and parameters."""

from __future__ import annotations

import pytest

from stepml.deployment.components import CACHE, NETWORK, SERVER, Plan
from stepml.deployment.idle import hourly_usd, idle_lines, monthly_usd
from stepml.deployment.parameters import known_names, of_component, of_main, problems, types
from stepml.deployment.records import StackState
from stepml.deployment.secrets import Secret
from stepml.deployment.servers import former_version
from stepml.deployment.zones import address_problem, architecture_of, server_address

ALL = ("redis", "memcached", "parameter_server")
TYPES = {
    "RedisNodeType": "cache.t4g.small",
    "MemcachedNodeType": "cache.t4g.small",
    "InstanceType": "c7i.large",
}


def stack(**parameters: str) -> StackState:
    return StackState("id", "name", "CREATE_COMPLETE", {}, parameters, {})


def stacks(*channels: str) -> dict[str, StackState]:
    """Return the stacks of a deployment with servers for these channels."""
    nodes = {
        name: "cache.m7g.large" if channel in channels else ""
        for channel, name in (("redis", "RedisNodeType"), ("memcached", "MemcachedNodeType"))
    }
    found = {NETWORK: stack()} if channels else {}
    if any(nodes.values()):
        found[CACHE] = stack(**nodes)
    if "parameter_server" in channels:
        found[SERVER] = stack(InstanceType="c7i.xlarge")
    return found


@pytest.mark.parametrize(
    ("present", "given", "gone", "wanted", "added", "removed"),
    [
        ((), (), (), (), [], []),
        ((), ("redis",), (), ("redis",), ["redis"], []),
        (("redis",), (), (), ("redis",), [], []),
        (("redis",), ("redis", "memcached"), (), ("redis", "memcached"), ["memcached"], []),
        (ALL, (), ("redis",), ALL[1:], [], ["redis"]),
        (ALL, (), ALL, (), [], [*ALL]),
        ((), (), ("redis",), (), [], []),
        (("memcached",), ("parameter_server",), ("memcached",), ALL[2:], [*ALL[2:]], [ALL[1]]),
    ],
)
def test_a_server_stays_until_it_is_named(
    present: tuple[str, ...],
    given: tuple[str, ...],
    gone: tuple[str, ...],
    wanted: tuple[str, ...],
    added: list[str],
    removed: list[str],
) -> None:
    plan = Plan.of(stacks(*present), given, gone)
    assert plan.present == {*present}
    assert plan.wanted == {*wanted}
    assert (plan.added, plan.removed) == (added, removed)


def test_what_servers_cost_is_said_for_each_and_for_all() -> None:
    lines = idle_lines(ALL, TYPES)
    assert lines == [
        "Redis on cache.t4g.small: $19 a month",
        "Memcached on cache.t4g.small: $23 a month",
        "parameter server on c7i.large: $75 a month",
        "together $118 a month, whether or not jobs run",
    ]
    assert idle_lines([], TYPES) == []
    unknown = idle_lines(ALL, TYPES | {"InstanceType": "c99.large"})
    assert unknown[-1] == "parameter server on c99.large: its price is not known here"
    assert hourly_usd(ALL, TYPES) * 730 == pytest.approx(
        sum(usd for each in ALL if (usd := monthly_usd(each, TYPES)))
    )
    assert hourly_usd([], TYPES) == 0
    redis = monthly_usd("redis", TYPES)
    assert redis == pytest.approx(730 * 0.0256 + 0.4)


@pytest.mark.parametrize(
    ("main", "former"),
    [
        (None, ""),
        (stack(), ""),  # redis is new
        (stack(RedisSecretArn="arn", RedisSecretVersion="2"), ""),
        (stack(RedisSecretArn="arn", RedisSecretVersion="1"), "1"),
        (stack(RedisSecretArn="arn", RedisSecretVersion=""), ""),
        (stack(RedisSecretArn="other", RedisSecretVersion="1"), ""),
    ],
)
def test_the_password_that_functions_have_remains_valid(
    main: StackState | None, former: str
) -> None:
    assert former_version(main, Secret("name", "arn", "2")) == former


def test_types_are_given_or_those_of_the_stacks_or_the_usual_ones() -> None:
    assert types({}, {}) == TYPES
    kept = types(stacks(*ALL), {"InstanceType": "c7g.xlarge"})
    assert kept == {
        "RedisNodeType": "cache.m7g.large",
        "MemcachedNodeType": "cache.m7g.large",
        "InstanceType": "c7g.xlarge",
    }
    # A cache that is removed, and made again, has the usual type.
    assert types(stacks("redis"), {})["MemcachedNodeType"] == "cache.t4g.small"


def test_parameters_go_to_the_template_that_has_them() -> None:
    given = {"ExecutorMemory": "1769", "FirstZone": "us-east-1b", "MemoryMb": "3000"}
    assert of_main(given) == {"ExecutorMemory": "1769"}
    assert of_component(NETWORK, given) == {"FirstZone": "us-east-1b"}
    assert of_component(SERVER, given) == {"MemoryMb": "3000"}
    names = known_names()
    assert len(names) == len(set(names))
    assert {"ExecutorMemory", "RedisNodeType", "CidrPrefix", "SnapshotSeconds"} <= {*names}
    assert not {"SecretArn", "CodeKey", "VpcId"} & {*names}  # of deploy alone


@pytest.mark.parametrize(
    ("wanted", "given", "words"),
    [
        ("redis", {"RedisUrl": "redis://a:1"}, "--parameter RedisUrl: the stack of redis gives it"),
        ("memcached", {"SubnetIds": "subnet-1"}, "--parameter SubnetIds: the stack of memcached"),
        ("", {"RedisNodeType": "cache.t4g.micro"}, "it needs --with redis"),
        ("redis", {"MemcachedNodeType": "cache.t4g.micro"}, "it needs --with memcached"),
        ("redis", {"InstanceType": "c7i.large"}, "it needs --with parameter_server"),
        ("", {"CidrPrefix": "10.1"}, "it needs --with redis or memcached or parameter_server"),
    ],
)
def test_parameters_that_servers_contradict_are_named(
    wanted: str, given: dict[str, str], words: str
) -> None:
    plan = Plan(frozenset(), frozenset(filter(None, [wanted])))
    (problem,) = problems(plan, given)
    assert words in problem


def test_parameters_of_servers_of_ones_own_are_free() -> None:
    given = {"RedisUrl": "redis://a:1", "SubnetIds": "subnet-1", "ExecutorMemory": "1769"}
    assert [*problems(Plan(frozenset(), frozenset()), given)] == []
    assert [
        *problems(Plan(frozenset(), frozenset({"memcached"})), {"RedisUrl": "redis://a:1"})
    ] == []


@pytest.mark.parametrize("prefix", ["10.0", "10.74", "10.255", "172.16", "172.31", "192.168"])
def test_private_addresses_are_taken(prefix: str) -> None:
    assert address_problem(prefix) is None
    assert server_address(prefix) == f"{prefix}.0.10"
    assert server_address(prefix, is_in_second=True) == f"{prefix}.16.10"


@pytest.mark.parametrize(
    "prefix", ["8.8", "172.15", "172.32", "192.169", "127.0", "10.256", "10", "10.0.0", "", "a.b"]
)
def test_other_addresses_are_refused(prefix: str) -> None:
    problem = address_problem(prefix)
    assert problem is not None
    assert problem.startswith("--parameter CidrPrefix: expected the first two numbers of private")
    assert problem.endswith(f"got {prefix!r}")


@pytest.mark.parametrize(
    ("kind", "architecture"),
    [
        ("c7i.large", "x86_64"),
        ("c7g.large", "arm64"),
        ("m8gd.xlarge", "arm64"),
        ("g5.xlarge", "x86_64"),
    ],
)
def test_the_architecture_is_that_of_the_instance_type(kind: str, architecture: str) -> None:
    assert architecture_of(kind) == architecture

"""Parameters of a deployment's stacks: who gives them, and to which template they belong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

from stepml.deployment.components import (
    CACHE,
    MAIN,
    MEMCACHED,
    NETWORK,
    NODE_TYPES,
    REDIS,
    SERVER,
    Plan,
    template_of,
)
from stepml.deployment.records import StackState
from stepml.deployment.templates import read_template
from stepml.job.channels import PARAMETER_SERVER

DEFAULT_NODE_TYPE = "cache.t4g.small"
# What `stepml deploy` gives to the stacks of servers; everything else is a person's choice.
_SET_HERE = {
    NETWORK: frozenset[str](),
    CACHE: frozenset(
        {
            *("SubnetIds", "CacheSecurityGroupIds"),
            *("RedisSecretArn", "RedisSecretVersion", "RedisPreviousVersion"),
        }
    ),
    SERVER: frozenset(
        {
            *("VpcId", "SubnetId", "AvailabilityZone", "FunctionSecurityGroupId", "PrivateIp"),
            *("SecretArn", "SecretVersion", "CodeBucket", "CodeKey", "Architecture"),
        }
    ),
}
# What it gives to the main stack, for each channel whose server it makes.
OF_CHANNEL = {
    REDIS: ("RedisUrl", "RedisSecretArn", "RedisSecretVersion"),
    MEMCACHED: ("MemcachedUrl",),
    PARAMETER_SERVER: (
        *("ParameterServerUrl", "ParameterServerSecretArn", "ParameterServerSecretVersion"),
        "ParameterServerToken",
    ),
}
OF_NETWORK = ("SubnetIds", "SecurityGroupIds")
_NEEDS = {NODE_TYPES[REDIS]: REDIS, NODE_TYPES[MEMCACHED]: MEMCACHED}


def known_names() -> list[str]:
    """Return the names of all parameters that a person may give, those of the main stack first."""
    names = [*_names(MAIN)]
    for component in _SET_HERE:
        names += [each for each in choices(component) if each not in names]
    return names


@cache
def choices(component: str) -> tuple[str, ...]:
    """Return the parameters of a stack of servers that are a person's choice."""
    return tuple(each for each in _names(component) if each not in _SET_HERE[component])


def of_main(given: Mapping[str, str]) -> dict[str, str]:
    """Return those of the given parameters that the main stack has."""
    return {name: value for name, value in given.items() if name in _names(MAIN)}


def of_component(component: str, given: Mapping[str, str]) -> dict[str, str]:
    """Return those of the given parameters that are for a stack of servers."""
    return {name: value for name, value in given.items() if name in choices(component)}


def problems(plan: Plan, given: Mapping[str, str]) -> Iterator[str]:
    """Yield why parameters do not agree with the servers that a deployment makes."""
    for channel in plan.wanted:
        for name in (*OF_CHANNEL[channel], *OF_NETWORK):
            if name in given:
                yield f"--parameter {name}: the stack of {channel} gives it; leave it out"
    main = _names(MAIN)
    for name in given:
        needed = _needed(name)
        if name not in main and needed and not plan.wanted.intersection(needed):
            yield (
                f"--parameter {name}: nothing here has it; it needs --with {' or '.join(needed)}"
            )


def types(stacks: Mapping[str, StackState], given: Mapping[str, str]) -> dict[str, str]:
    """Return the types of all servers: given ones, those of the stacks, or the usual ones."""
    usual = dict.fromkeys(NODE_TYPES.values(), DEFAULT_NODE_TYPE)
    usual["InstanceType"] = str(
        read_template(template_of(SERVER))["Parameters"]["InstanceType"]["Default"]
    )
    found = {}
    for name, value in usual.items():
        stack = stacks.get(SERVER if name == "InstanceType" else CACHE)
        present = stack.parameters.get(name) if stack is not None else None
        found[name] = given.get(name) or present or value
    return found


def _needed(name: str) -> tuple[str, ...]:
    """Return the channels of which a parameter needs one; none for one that nothing has."""
    if name in _NEEDS:
        return (_NEEDS[name],)
    if name in choices(NETWORK):
        return tuple(OF_CHANNEL)
    return (PARAMETER_SERVER,) if name in choices(SERVER) else ()


@cache
def _names(component: str) -> tuple[str, ...]:
    return tuple(read_template(template_of(component))["Parameters"])

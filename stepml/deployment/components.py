"""The stacks of a deployment: the main one, and those that give it more channels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from stepml.deployment.records import StackState
from stepml.job.channels import PARAMETER_SERVER
from stepml.packaging.sources import template_path

NETWORK, CACHE, SERVER, MAIN = "network", "cache", "ps", "main"
# In the order in which they are made: each uses outputs of earlier ones.
COMPONENTS = (NETWORK, CACHE, SERVER, MAIN)
REDIS, MEMCACHED = "redis", "memcached"
# Channels whose servers `stepml deploy --with` makes.
CHANNELS = (REDIS, MEMCACHED, PARAMETER_SERVER)
# The parameter of cache.yaml that says whether there is a cache.
NODE_TYPES = {REDIS: "RedisNodeType", MEMCACHED: "MemcachedNodeType"}
_TEMPLATES = {NETWORK: "network.yaml", CACHE: "cache.yaml", SERVER: "parameter_server.yaml"}

# A parameter that no other template has.
_MARKS = {NETWORK: "CidrPrefix", CACHE: "RedisNodeType", SERVER: "PrivateIp"}


def stack_name(stack: str, component: str) -> str:
    """Return the name of a component's stack; ``stack`` is that of the main one."""
    return stack if component == MAIN else f"{stack}-{component}"


def is_component(stack: StackState, component: str) -> bool:
    """Return whether a stack is of a component's kind, and not another one of the same name."""
    return component == MAIN or not stack.parameters or _MARKS[component] in stack.parameters


def template_of(component: str) -> Path:
    """Return the template of a component's stack."""
    main = template_path()
    return main if component == MAIN else main.with_name(_TEMPLATES[component])


@dataclass(frozen=True, slots=True)
class Plan:
    """The channels whose servers a deployment has, and shall have."""

    present: frozenset[str]
    wanted: frozenset[str]

    @classmethod
    def of(
        cls, stacks: Mapping[str, StackState], added: Iterable[str], removed: Iterable[str]
    ) -> Plan:
        """Return a plan: what is there stays, unless it is ``removed``.

        Parameters
        ----------
        stacks : mapping
            Those that exist, by component.
        added, removed : iterable of str
            Channels.
        """
        present = frozenset(_present(stacks))
        return cls(present, (present | {*added}) - {*removed})

    @property
    def added(self) -> list[str]:
        """Channels that get a server, in the usual order."""
        return [each for each in CHANNELS if each in self.wanted - self.present]

    @property
    def removed(self) -> list[str]:
        """Channels that lose their server, in the usual order."""
        return [each for each in CHANNELS if each in self.present - self.wanted]

    @property
    def ordered(self) -> list[str]:
        """Channels that it shall have, in the usual order."""
        return [each for each in CHANNELS if each in self.wanted]

    @property
    def secret_channels(self) -> list[str]:
        """Those of them that have a secret."""
        return [each for each in self.ordered if each in (REDIS, PARAMETER_SERVER)]

    @property
    def caches(self) -> list[str]:
        """The caches that it shall have."""
        return [each for each in NODE_TYPES if each in self.wanted]


def _present(stacks: Mapping[str, StackState]) -> Iterable[str]:
    cache = stacks.get(CACHE)
    if cache is not None:
        yield from (each for each, name in NODE_TYPES.items() if cache.parameters.get(name))
    if SERVER in stacks:
        yield PARAMETER_SERVER

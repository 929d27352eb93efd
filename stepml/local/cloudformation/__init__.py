"""CloudFormation: completes moto's creation, change and deletion of stacks."""

from __future__ import annotations

from stepml.local.cloudformation import (
    alarms,  # noqa: F401 - moto finds the types of resources among subclasses
    buckets,
    caches,
    change_sets,
    conditions,
    event_targets,  # noqa: F401 - likewise
    events,
    expansion,
    machines,
    networks,
    parameters,
    resources,
    retention,
    secrets,
    stacks,
    tables,
    versions,
)
from stepml.local.cloudformation.virtual_machines import machine_seams
from stepml.local.seams import Seams
from stepml.local.stack_servers.elasticache import ElastiCache
from stepml.local.stack_servers.servers import StackServers


def cloudformation_seams(servers: StackServers, endpoint_url: str, port: int) -> list[Seams]:
    """Return the seams of stacks and their resources.

    Parameters
    ----------
    servers : StackServers
        The servers that stacks make.
    endpoint_url : str
        Of the local AWS.
    port : int
        The first port for the health of a server.
    """
    caches.use(ElastiCache(servers))
    modules = (
        *(expansion, change_sets, events, stacks, retention, conditions),
        *(parameters, machines, resources, buckets, tables, secrets, networks, versions),
    )
    return [*(module.seams for module in modules), machine_seams(servers, endpoint_url, port)]

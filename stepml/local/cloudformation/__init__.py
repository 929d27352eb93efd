"""CloudFormation: completes moto's creation, change and deletion of stacks."""

from __future__ import annotations

from stepml.local.cloudformation import (
    alarms,  # noqa: F401 - moto finds the types of resources among subclasses
    buckets,
    change_sets,
    conditions,
    events,
    expansion,
    machines,
    parameters,
    resources,
    retention,
    stacks,
    tables,
)
from stepml.local.seams import Seams


def cloudformation_seams() -> list[Seams]:
    """Return the seams of stacks and their resources."""
    modules = (
        *(expansion, change_sets, events, stacks, retention, conditions),
        *(parameters, machines, resources, buckets, tables),
    )
    return [module.seams for module in modules]

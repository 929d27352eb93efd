"""CloudFormation: completes moto's creation, change and deletion of stacks."""

from __future__ import annotations

from stepml.local.cloudformation import conditions, machines, resources, stacks, tables
from stepml.local.seams import Seams


def cloudformation_seams() -> list[Seams]:
    """Return the seams of stacks and their resources."""
    return [stacks.seams, conditions.seams, machines.seams, resources.seams, tables.seams]

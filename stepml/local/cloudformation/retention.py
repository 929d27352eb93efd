"""DeletionPolicy: resources that outlive their stack, or their place in its template."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moto.cloudformation.parsing import ResourceMap

from stepml.local.seams import Seams

seams = Seams()

EXCEPT_ON_CREATE = "RetainExceptOnCreate"
_RETAINED = frozenset({"Retain", EXCEPT_ON_CREATE})
_delete = ResourceMap.delete


def is_retained(resource: Mapping[str, Any]) -> bool:
    """Return whether CloudFormation leaves ``resource`` when it forgets it."""
    return resource.get("DeletionPolicy") in _RETAINED


@seams.replaces(ResourceMap, "delete", why="does not know RetainExceptOnCreate")
def delete(self: Any) -> None:
    for resource in self._resource_json_map.values():
        if is_retained(resource):
            resource["DeletionPolicy"] = "Retain"
    _delete(self)


def delete_all_new(resources: Any) -> None:
    """Delete the resources of a stack whose creation failed, but for those with ``Retain``."""
    _delete(resources)


def release_new(resources: Any) -> None:
    """Let a failed change take back what it has made, but for resources with ``Retain``."""
    for resource in resources._resource_json_map.values():
        if resource.get("DeletionPolicy") == EXCEPT_ON_CREATE:
            del resource["DeletionPolicy"]

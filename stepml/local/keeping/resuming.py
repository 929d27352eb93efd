"""Starts the servers of stacks that an earlier local AWS has left."""

from __future__ import annotations

import logging
from typing import Any

from moto.autoscaling.models import FakeAutoScalingGroup
from moto.cloudformation.models import cloudformation_backends

from stepml.local.cloudformation.caches import User, UserGroup, is_of_cache
from stepml.local.keeping.shelves import each_backend

logger = logging.getLogger(__name__)


def resume_servers() -> None:
    """Start the servers of all stacks; those that fail are only logged."""
    for resource in sorted(_resources(), key=_is_server):
        try:
            resource.resume()
        except Exception:  # the others must start
            logger.exception("%s does not start again", resource.physical_resource_id)


def _resources() -> list[Any]:
    return [
        resource
        for _, backend in each_backend(cloudformation_backends)
        for stack in list(backend.stacks.values())
        for resource in list(stack.resource_map._parsed_resources.values())
        if is_of_cache(resource) or isinstance(resource, FakeAutoScalingGroup)
    ]


def _is_server(resource: Any) -> bool:
    """Return whether a resource comes after the users that it lets in."""
    return not isinstance(resource, User | UserGroup)

"""Events of resources, of which moto records none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from moto.cloudformation import parsing
from moto.cloudformation.models import Event, cloudformation_backends
from moto.cloudformation.parsing import ResourceMap
from moto.core.exceptions import JsonRESTError

from stepml.local.seams import Seams

seams = Seams()

_CANCELLED = "Resource creation cancelled"
_create_resource = parsing.parse_and_create_resource
_delete_resource = ResourceMap._delete_resource


def reason(error: Exception) -> str:
    """Return the text for ``error`` in a stack event."""
    message = getattr(error, "message", None) or str(error)
    name = error.error_type if isinstance(error, JsonRESTError) else type(error).__name__
    return f"{name}: {message}"


@contextmanager
def recorded(resources: Any, name: str, resource: Any, verb: str) -> Iterator[None]:
    """Record the begin and the end of a change of a resource.

    Parameters
    ----------
    resources : ResourceMap
    name : str
        The resource's in the template.
    resource : mapping
        The resource in the template.
    verb : str
        CREATE, UPDATE or DELETE.
    """
    _record(resources, name, resource, f"{verb}_IN_PROGRESS")
    try:
        yield
    except Exception as error:
        # A resource that needs the failed one is under way, too.
        was_told = getattr(error, "stepml_was_told", False)
        error.stepml_was_told = True  # type: ignore[attr-defined]
        if verb == "CREATE":  # moto tries the others again; the stack's event has their reason
            why = _CANCELLED if was_told else reason(error)
            _record(resources, name, resource, f"{verb}_FAILED", why)
        raise
    _record(resources, name, resource, f"{verb}_COMPLETE")


def _record(resources: Any, name: str, resource: Any, status: str, why: str | None = None) -> None:
    backend = cloudformation_backends[resources._account_id][resources._region_name]
    stack = backend.stacks.get(resources.stack_id)
    if stack is not None:
        event = Event(
            stack_id=stack.stack_id,
            stack_name=stack.name,
            logical_resource_id=name,
            physical_resource_id="",
            resource_type=resource["Type"],
            resource_status=status,
            resource_status_reason=why,
            resource_properties=None,
        )
        stack.events.append(event)


@seams.replaces(parsing, "parse_and_create_resource", why="records no events of resources")
def create_resource(logical_id: str, resource_json: Any, resources_map: Any, **where: Any) -> Any:
    condition = resource_json.get("Condition")
    if condition and not resources_map.lazy_condition_map[condition]:
        return None
    with recorded(resources_map, logical_id, resource_json, "CREATE"):
        return _create_resource(logical_id, resource_json, resources_map, **where)


@seams.replaces(ResourceMap, "_delete_resource", why="records no events of resources")
def delete_resource(self: Any, parsed_resource: Any, resource_json: Any) -> None:
    name = getattr(parsed_resource, "logical_resource_id", None)
    if name is None:
        _delete_resource(self, parsed_resource, resource_json)
        return
    with recorded(self, name, resource_json, "DELETE"):
        _delete_resource(self, parsed_resource, resource_json)

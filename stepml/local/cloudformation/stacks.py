"""Stacks: a failure becomes a status with a reason instead of an exception of the request."""

from __future__ import annotations

import json
import re
from typing import Any

from moto.cloudformation import parsing
from moto.cloudformation.models import CloudFormationBackend, Stack
from moto.cloudformation.parsing import OutputMap

from stepml.local.cloudformation.events import reason, recorded
from stepml.local.cloudformation.retention import delete_all_new, release_new
from stepml.local.seams import Seams

seams = Seams()

_create_resources = Stack.create_resources
_update_stack = Stack.update
_delete_stack = Stack.delete
_parse_and_update_resource = parsing.parse_and_update_resource
_references = parsing.get_references_from_template

_SUBSTITUTION = re.compile(r"\$\{([A-Za-z0-9_.:]+)\}")


@seams.replaces(
    Stack, "create_resources", why="leaves a stack in CREATE_IN_PROGRESS when a resource fails"
)
def create_resources(self: Any) -> None:
    try:
        _create_resources(self)
    except Exception as error:
        self._add_stack_event("CREATE_FAILED", resource_status_reason=reason(error))
        delete_all_new(self.resource_map)
        _forget_resources(self)
        self._add_stack_event("ROLLBACK_COMPLETE")
        self.status = "ROLLBACK_COMPLETE"


@seams.replaces(Stack, "update", why="leaves a half-changed stack when a resource fails")
def update_stack(
    self: Any, template: str, role_arn: Any = None, parameters: Any = None, tags: Any = None
) -> None:
    before = (self.template, dict(self.stack_parameters))
    try:
        _update_stack(self, template, role_arn, parameters, tags)
    except Exception as error:
        self._add_stack_event("UPDATE_FAILED", resource_status_reason=reason(error))
        release_new(self.resource_map)
        _update_stack(self, before[0], role_arn, before[1], tags)
        self._add_stack_event("UPDATE_ROLLBACK_COMPLETE")
        self.status = "UPDATE_ROLLBACK_COMPLETE"


@seams.replaces(
    CloudFormationBackend,
    "delete_stack",
    why="forgets a stack before deleting its resources, and loses it if that fails",
)
def delete_stack(self: Any, name_or_stack_id: str) -> None:
    for stack in [s for s in self.stacks.values() if name_or_stack_id in (s.name, s.stack_id)]:
        export_names = [export.name for export in stack.exports]
        try:
            _delete_stack(stack)
        except Exception as error:
            stack._add_stack_event("DELETE_FAILED", resource_status_reason=reason(error))
            stack.status = "DELETE_FAILED"
            continue
        _forget_resources(stack)
        self.deleted_stacks[self.stacks.pop(stack.stack_id).stack_id] = stack
        for export_name in export_names:
            self.exports.pop(export_name)


def _forget_resources(stack: Any) -> None:
    # moto creates a resource at the first access: describing the stack must not restore it.
    stack.resource_map._resource_json_map = {}
    stack.output_map = OutputMap(stack.resource_map, {}, stack.stack_id)


@seams.replaces(
    parsing,
    "get_references_from_template",
    why="misses parameters inside Fn::Sub, so a changed parameter may have no effect",
)
def references(template: Any) -> list[str]:
    return [*_references(template), *_SUBSTITUTION.findall(json.dumps(template, default=str))]


@seams.replaces(
    parsing,
    "parse_and_update_resource",
    why="forgets a resource whose type has no update, so nothing can delete it",
)
def update_resource(logical_id: str, resource_json: Any, resources_map: Any, **where: Any) -> Any:
    with recorded(resources_map, logical_id, resource_json, "UPDATE"):
        return (
            _parse_and_update_resource(logical_id, resource_json, resources_map, **where)
            or resources_map[logical_id]
        )

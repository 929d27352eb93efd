"""Change sets: what would change, their execution, and their end."""

from __future__ import annotations

from typing import Any

from moto.cloudformation.exceptions import CloudFormationError, ValidationError
from moto.cloudformation.models import ChangeSet, CloudFormationBackend

from stepml.local.cloudformation.events import reason
from stepml.local.cloudformation.expansion import parsed, processed
from stepml.local.seams import Seams

seams = Seams()

UNCHANGED = (
    "The submitted information didn't contain changes. Submit different information to create a "
    "change set."
)
_EMPTY = '{"Resources": {}}'
_UPDATABLE = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE")
# Properties whose change makes CloudFormation create another resource and delete the old one.
_REPLACING = {
    "AWS::DynamoDB::Table": {"TableName", "KeySchema"},
    "AWS::EC2::Subnet": {"VpcId", "CidrBlock", "AvailabilityZone"},
    "AWS::EC2::VPC": {"CidrBlock"},
    "AWS::IAM::Role": {"RoleName"},
    "AWS::Lambda::Alias": {"FunctionName", "Name"},
    "AWS::Lambda::Function": {"FunctionName"},
    "AWS::Lambda::Version": {"Description", "FunctionName"},
    "AWS::Logs::LogGroup": {"LogGroupName"},
    "AWS::S3::Bucket": {"BucketName"},
    "AWS::StepFunctions::StateMachine": {"StateMachineName", "StateMachineType"},
    "AWS::StepFunctions::StateMachineVersion": {"Description", "StateMachineArn"},
}

_create_change_set = CloudFormationBackend.create_change_set
_delete_change_set = CloudFormationBackend.delete_change_set


class InvalidChangeSetStatusError(CloudFormationError):
    """The change set cannot be executed, or has been."""

    code = "InvalidChangeSetStatus"


class ChangeSetNotFoundError(CloudFormationError):
    """No change set has this name."""

    code = "ChangeSetNotFound"


@seams.replaces(ChangeSet, "_parse_template", why="reads JSON as YAML, which is slow")
def parse_template(self: Any) -> None:
    self.template_dict = parsed(self.template)


@seams.replaces(ChangeSet, "diff", why="overlooks changed parameters and names no replacement")
def diff(self: Any) -> list[dict[str, Any]]:
    resources = self.stack.resource_map
    before, after = resources._resource_json_map, self.template_dict["Resources"]
    actions = resources.build_resource_diff(self.template_dict, self.parameters)
    changes = []
    for action, names in actions.items():
        for name in dict.fromkeys(names):
            old, new = before.get(name, {}), after.get(name, {})
            change = {
                "Action": action,
                "LogicalResourceId": name,
                "ResourceType": (new or old)["Type"],
            }
            if action == "Modify":
                change["Replacement"] = str(_is_replaced(old, new))
            changes.append(change)
    return changes


def _is_replaced(old: dict[str, Any], new: dict[str, Any]) -> bool:
    names = _REPLACING.get(new["Type"], set())
    before, after = (each.get("Properties", {}) for each in (old, new))
    return any(before.get(name) != after.get(name) for name in names)


@seams.replaces(
    CloudFormationBackend,
    "create_change_set",
    why="expands no transform, makes a second stack of the same name, and overlooks parameters",
)
def create_change_set(
    self: Any,
    stack_name: str,
    change_set_name: str,
    template: str,
    parameters: dict[str, Any],
    change_set_type: str,
    **settings: Any,
) -> tuple[str, str]:
    existing = next((each for each in self.stacks.values() if each.name == stack_name), None)
    _require_suitable(existing, stack_name, change_set_name, change_set_type)
    failure, text, known = None, _EMPTY, set(self.stacks)
    try:
        text = processed(template)
    except ValidationError as error:  # as on AWS, the change set exists, but has failed
        failure = str(error.message)
    try:
        change_set_id, stack_id = _create_change_set(
            self,
            stack_name=stack_name,
            change_set_name=change_set_name,
            template=text,
            parameters=parameters,
            change_set_type=change_set_type,
            **settings,
        )
    except Exception as error:
        for stack_id in self.stacks.keys() - known:
            del self.stacks[stack_id]
        if isinstance(error, CloudFormationError):
            raise
        raise ValidationError(message=reason(error)) from error
    change_set = self.change_sets[change_set_id]
    if existing is not None and stack_id != existing.stack_id:  # it is for the stack in review
        existing.tags = self.stacks.pop(stack_id).tags
        change_set.stack = existing
        change_set.stack_id = stack_id = existing.stack_id
    if failure is None and change_set_type == "UPDATE" and _is_same(existing, change_set):
        failure = UNCHANGED
    change_set.status = "CREATE_COMPLETE" if failure is None else "FAILED"
    change_set.execution_status = "AVAILABLE" if failure is None else "UNAVAILABLE"
    change_set.status_reason = failure
    return change_set_id, stack_id


def _require_suitable(existing: Any, name: str, change_set_name: str, kind: str) -> None:
    if kind == "UPDATE" and existing is None:
        raise ValidationError(message=f"Stack [{name}] does not exist")
    if kind == "UPDATE" and existing.status not in _UPDATABLE:
        raise ValidationError(
            message=f"Stack:{existing.stack_id} is in {existing.status} state and can not be "
            "updated."
        )
    if kind == "CREATE" and existing is not None and existing.status != "REVIEW_IN_PROGRESS":
        raise ValidationError(
            message=f"Stack [{name}] already exists and cannot be created again with the "
            f"changeSet [{change_set_name}]."
        )


def _is_same(stack: Any, change_set: Any) -> bool:
    def effective(template: dict[str, Any], parameters: dict[str, Any]) -> dict[str, str]:
        slots = template.get("Parameters", {})
        defaults = {name: slot.get("Default") for name, slot in slots.items()}
        return {name: str(value) for name, value in {**defaults, **parameters}.items()}

    new, old = change_set.template_dict, parsed(stack.template)
    return bool(
        new == old
        and effective(new, change_set.parameters) == effective(old, stack.parameters)
        and (change_set.tags or stack.tags) == stack.tags
    )


@seams.replaces(
    CloudFormationBackend,
    "execute_change_set",
    why="has no roll-back, and forgets outputs and parameters",
)
def execute_change_set(self: Any, change_set_name: str, stack_name: str | None = None) -> None:
    change_set = self.describe_change_set(change_set_name)
    if change_set.execution_status != "AVAILABLE":
        raise InvalidChangeSetStatusError(
            f"ChangeSet [{change_set_name}] cannot be executed in its current status of "
            f"[{change_set.status}]"
        )
    del self.change_sets[change_set.change_set_id]
    stack = self.stacks[change_set.stack_id]
    if change_set.change_set_type == "UPDATE":
        stack.update(
            change_set.template, change_set.role_arn, change_set.parameters, change_set.tags or None
        )
        return
    stack.template, stack.parameters = change_set.template, change_set.parameters
    stack._parse_template()
    stack.cross_stack_resources = self.exports
    stack.resource_map = stack._create_resource_map()
    stack.output_map = stack._create_output_map()
    self._validate_export_uniqueness(stack)
    for export in stack.exports:
        self.exports[export.name] = export
    stack._add_stack_event("CREATE_IN_PROGRESS", resource_status_reason="User Initiated")
    stack.create_resources()


@seams.replaces(CloudFormationBackend, "delete_change_set", why="fails if there is none")
def delete_change_set(self: Any, change_set_name: str) -> None:
    self.describe_change_set(change_set_name)
    _delete_change_set(self, change_set_name)


@seams.replaces(
    CloudFormationBackend, "describe_change_set", why="says that no stack has this name"
)
def describe_change_set(self: Any, change_set_name: str) -> Any:
    for change_set in self.change_sets.values():
        if change_set_name in (change_set.change_set_id, change_set.change_set_name):
            return change_set
    raise ChangeSetNotFoundError(f"ChangeSet [{change_set_name}] does not exist")

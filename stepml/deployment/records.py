"""Stacks, changes and events, as CloudFormation describes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

REVIEW = "REVIEW_IN_PROGRESS"  # the stack has a change set and no resources
_CANCELLED = "cancelled"  # the reason of resources that another failure has stopped


@dataclass(frozen=True, slots=True)
class StackState:
    """A stack, as it is now."""

    id: str  # its ARN
    name: str
    status: str
    outputs: Mapping[str, str]
    parameters: Mapping[str, str]
    tags: Mapping[str, str]

    @property
    def own_tags(self) -> dict[str, str]:
        """The tags that are not AWS's."""
        return {name: value for name, value in self.tags.items() if not name.startswith("aws:")}

    @property
    def is_busy(self) -> bool:
        """Whether an operation is in progress."""
        return self.status.endswith("_IN_PROGRESS") and self.status != REVIEW


@dataclass(frozen=True, slots=True)
class Change:
    """A resource that a change set would touch."""

    action: str  # Add, Modify, Remove or Import
    name: str  # in the template
    type: str
    replacement: str = "False"  # of Modify: True, False or Conditional


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """Changes of a stack that CloudFormation would make."""

    id: str
    stack_name: str
    stack_id: str
    is_new: bool  # the stack has no resources yet
    changes: Sequence[Change]


@dataclass(frozen=True, slots=True)
class StackEvent:
    """A step of an operation."""

    id: str
    resource: str  # its name in the template, or the stack's
    type: str
    status: str
    reason: str


def state_of(stack: Any) -> StackState:
    """Return a stack from its description in CloudFormation's API."""
    return StackState(
        stack["StackId"],
        stack["StackName"],
        stack["StackStatus"],
        {item["OutputKey"]: item["OutputValue"] for item in stack.get("Outputs", [])},
        {item["ParameterKey"]: item["ParameterValue"] for item in stack.get("Parameters", [])},
        {item["Key"]: item["Value"] for item in stack.get("Tags", [])},
    )


def change_of(change: Any) -> Change:
    """Return a change from its description in CloudFormation's API."""
    return Change(
        change["Action"],
        change["LogicalResourceId"],
        change["ResourceType"],
        change.get("Replacement", "False"),
    )


def cause_of(event: StackEvent) -> str:
    """Return the reason of a failure, or an empty string for any other event."""
    if not event.status.endswith("_FAILED") or _CANCELLED in event.reason.lower():
        return ""
    return f"{event.resource}: {event.reason}" if event.reason else ""


def event_of(event: Any) -> StackEvent:
    """Return an event from its description in CloudFormation's API."""
    return StackEvent(
        event["EventId"],
        event.get("LogicalResourceId", ""),
        event.get("ResourceType", ""),
        event.get("ResourceStatus", ""),
        event.get("ResourceStatusReason", ""),
    )

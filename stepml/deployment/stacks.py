"""CloudFormation's stacks: finds, changes and deletes them, and waits for their ends."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stepml.client.connection import Connection, translated
from stepml.deployment.errors import DeploymentError, TemplateError
from stepml.deployment.records import (
    REVIEW,
    ChangeSet,
    StackEvent,
    StackState,
    cause_of,
    change_of,
    event_of,
    state_of,
)

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

CAPABILITIES = ("CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND")
WAIT_S = 3 * 3600.0  # longer than any of CloudFormation's own limits
# A stack in one of these states must be deleted before it can be created again.
DEAD = frozenset({"CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED"})
STUCK = "UPDATE_ROLLBACK_FAILED"
DELETED = "DELETE_COMPLETE"
DONE = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE"})
_NO_CHANGES = ("didn't contain changes", "No updates are to be performed")


Report = Callable[[StackEvent], None]


def is_whole(stack: StackState) -> bool:
    """Return whether a stack has its resources, and need not be made again."""
    return stack.status not in DEAD | {REVIEW, DELETED}


@dataclass(slots=True)
class Stacks:
    """CloudFormation of one account and region.

    Parameters
    ----------
    connection : Connection
    report : callable
        Gets each event of an operation as it comes.
    wait_s : float
        Seconds to wait for an operation.
    """

    connection: Connection
    report: Report = lambda event: None
    wait_s: float = WAIT_S

    @property
    def _service(self) -> CloudFormationClient:
        return self.connection.client("cloudformation")

    def find(self, name: str) -> StackState | None:
        """Return the stack of this name or id, or None if there is none."""
        from botocore.exceptions import ClientError

        with translated(self.connection.endpoint_url):
            try:
                answer: Any = self._service.describe_stacks(StackName=name)
            except ClientError as error:
                if "does not exist" in str(error):
                    return None
                raise
        return state_of(answer["Stacks"][0])

    def ready(self, name: str) -> StackState | None:
        """Return the stack once it can be changed, or None once it can be created.

        An operation that is in progress is waited for. What an earlier one has left behind is
        removed: a stack that was never whole is deleted, a failed roll-back is continued.

        Raises
        ------
        DeploymentError
            The stack cannot be brought into such a state.
        """
        stack = self.find(name)
        if stack is not None and stack.is_busy:
            stack = self._settled(stack)
        if stack is None or stack.status in (REVIEW, DELETED):
            return None
        if stack.status in DEAD:
            self.delete(stack)
            return None
        if stack.status == STUCK:
            return self._continue_rollback(stack)
        return stack

    def propose(
        self,
        name: str,
        template_url: str,
        stack: StackState | None,
        parameters: Sequence[Mapping[str, Any]],
        tags: Mapping[str, str],
    ) -> ChangeSet | None:
        """Let CloudFormation compute changes; None if there are none.

        Parameters
        ----------
        name : str
        template_url : str
        stack : StackState, optional
            The stack, as `ready` returns it.
        parameters : sequence of mapping
            As in CloudFormation's API.
        tags : mapping

        Raises
        ------
        TemplateError
            CloudFormation refuses the template or a parameter.
        """
        with translated(self.connection.endpoint_url):
            return self._proposed(name, template_url, stack, parameters, tags)

    def execute(self, change_set: ChangeSet) -> StackState:
        """Make the changes; return the stack when they are made.

        Raises
        ------
        DeploymentError
            CloudFormation failed, and has rolled back.
        """
        with translated(self.connection.endpoint_url):
            seen = self._newest_event(change_set.stack_id)
            self._service.execute_change_set(ChangeSetName=change_set.id)
            return self._ended(change_set.stack_id, seen, DONE)

    def discard(self, change_set: ChangeSet) -> None:
        """Delete a change set, and its stack if nothing but the change set is there.

        Somebody else may have created the stack meanwhile.
        """
        with translated(self.connection.endpoint_url):
            self._service.delete_change_set(ChangeSetName=change_set.id)
            stack = self.find(change_set.stack_id) if change_set.is_new else None
            if stack is not None and stack.status == REVIEW:
                self._service.delete_stack(StackName=stack.id)

    def delete(self, stack: StackState) -> None:
        """Delete a stack with its resources, and wait until that is done.

        Raises
        ------
        DeploymentError
            A resource cannot be deleted, such as a bucket with objects in it.
        """
        with translated(self.connection.endpoint_url):
            seen = self._newest_event(stack.id)
            self._service.delete_stack(StackName=stack.id)
            self._ended(stack.id, seen, {DELETED})

    def _proposed(
        self,
        name: str,
        template_url: str,
        stack: StackState | None,
        parameters: Sequence[Mapping[str, Any]],
        tags: Mapping[str, str],
    ) -> ChangeSet | None:
        from botocore.exceptions import ClientError

        request: Any = {
            "StackName": name,
            "ChangeSetName": f"stepml-{uuid.uuid4().hex[:12]}",
            "ChangeSetType": "CREATE" if stack is None else "UPDATE",
            "TemplateURL": template_url,
            "Parameters": parameters,
            "Capabilities": CAPABILITIES,
            "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
        }
        try:
            made = self._service.create_change_set(**request)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ValidationError":
                raise
            message = error.response["Error"]["Message"]
            raise TemplateError(f"stack {name!r}: CloudFormation refuses it: {message}") from error
        described = self._described(made["Id"])
        changes = [change_of(each["ResourceChange"]) for each in described["Changes"]]
        proposed = ChangeSet(made["Id"], name, made["StackId"], stack is None, changes)
        if described["Status"] == "CREATE_COMPLETE":
            return proposed
        reason = described.get("StatusReason", "no reason given")
        self.discard(proposed)
        if any(words in reason for words in _NO_CHANGES):
            return None
        raise TemplateError(f"stack {name!r}: {reason}")

    def _described(self, change_set_id: str) -> dict[str, Any]:
        """Wait for a change set; return its description with all changes."""
        deadline = time.monotonic() + self.wait_s
        while True:
            pages = self._service.get_paginator("describe_change_set")
            described: list[Any] = [*pages.paginate(ChangeSetName=change_set_id)]
            if not described[0]["Status"].endswith(("_PENDING", "_IN_PROGRESS")):
                changes = [change for page in described for change in page.get("Changes", [])]
                return {**described[0], "Changes": changes}
            self._pause(deadline, "its changes are being computed")

    def _settled(self, stack: StackState) -> StackState | None:
        deadline = time.monotonic() + self.wait_s
        current: StackState | None = stack
        self.report(StackEvent("", stack.name, "", stack.status, "another operation, waited for"))
        while current is not None and current.is_busy:
            self._pause(deadline, f"stack {stack.name!r} is still {current.status}")
            current = self.find(stack.id)
        return current

    def _continue_rollback(self, stack: StackState) -> StackState:
        with translated(self.connection.endpoint_url):
            seen = self._newest_event(stack.id)
            self._service.continue_update_rollback(StackName=stack.id)
            return self._ended(stack.id, seen, {"UPDATE_ROLLBACK_COMPLETE"})

    def _newest_event(self, stack_id: str) -> str:
        answer: Any = self._service.describe_stack_events(StackName=stack_id)
        return answer["StackEvents"][0]["EventId"] if answer["StackEvents"] else ""

    def _ended(self, stack_id: str, seen: str, wanted: frozenset[str] | set[str]) -> StackState:
        """Report the events of an operation until it ends; return the stack."""
        deadline, failure = time.monotonic() + self.wait_s, ""
        while True:
            stack = self.find(stack_id)
            for event in self._events_after(stack_id, seen):
                seen = event.id
                self.report(event)
                failure = failure or cause_of(event)
            if stack is None or not (stack.is_busy or stack.status == REVIEW):
                break
            self._pause(deadline, f"stack {stack.name!r} is still {stack.status}")
        if stack is None:
            raise DeploymentError(f"stack {stack_id!r} was deleted by somebody else")
        if stack.status not in wanted:
            reason = failure or "no reason given"
            raise DeploymentError(f"stack {stack.name!r} is {stack.status}: {reason}")
        return stack

    def _events_after(self, stack_id: str, seen: str) -> list[StackEvent]:
        """Return the events after the one with the id ``seen``, the first one first."""
        events: list[StackEvent] = []
        for event in self._newest_first(stack_id):
            if event.id == seen:
                break
            events.insert(0, event)
        return events

    def _newest_first(self, stack_id: str) -> Iterator[StackEvent]:
        pages = self._service.get_paginator("describe_stack_events")
        for page in pages.paginate(StackName=stack_id):
            for event in page["StackEvents"]:
                yield event_of(event)

    def _pause(self, deadline: float, state: str) -> None:
        if time.monotonic() > deadline:
            raise DeploymentError(f"gave up after {self.wait_s:,.0f} s: {state}")
        time.sleep(self.connection.poll_s)

"""The inbox of a stack: its bucket invokes a function for each job file that is put there.

Not the template, but the deployment sets this notification: the bucket may be one that the stack
has not made, and may have notifications of others, which remain.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from stepml.client.connection import Connection, translated
from stepml.deployment.errors import DeploymentError
from stepml.deployment.records import StackState
from stepml.records.errors import ServiceRefusedError

PREFIX, SUFFIX = "inbox/", ".json"
FUNCTION_OUTPUT = "InboxFunctionArn"  # of templates/template.yaml; absent: no inbox
EVENTS = "s3:ObjectCreated:*"
PERMISSION_WAIT_S = 30.0  # until S3 knows that it may invoke a new function
_NOT_YET = "Unable to validate the following destination configurations"
_FUNCTIONS = "LambdaFunctionConfigurations"


@dataclass(frozen=True, slots=True)
class Inbox:
    """The notifications of a stack's bucket.

    Parameters
    ----------
    connection : Connection
    stack : str
    bucket : str
    wait_s : float
        Seconds in which S3 may refuse a function because its permission is new.
    """

    connection: Connection
    stack: str
    bucket: str
    wait_s: float = PERMISSION_WAIT_S

    def connect(self, function: str) -> None:
        """Let the bucket invoke ``function``, an ARN, for each job file in the inbox.

        Raises
        ------
        DeploymentError
            S3 refuses, for example because other notifications are about the same objects.
        """
        wanted = _notification(self._id, function)
        try:
            self._replace_patiently(wanted)
        except ServiceRefusedError as error:
            raise DeploymentError(
                f"the stack {self.stack!r} is deployed, but {PREFIX} of the bucket {self.bucket} "
                f"starts no jobs: {error}. Repeat stepml deploy when that is mended, or with "
                "--parameter Inbox=off"
            ) from error

    def disconnect(self) -> None:
        """Remove the notification, if there is one."""
        self._replace(None)

    @property
    def _id(self) -> str:
        return f"{self.stack}-inbox"

    def _replace_patiently(self, wanted: dict[str, Any]) -> None:
        deadline = time.monotonic() + self.wait_s
        while True:
            try:
                return self._replace(wanted)
            except ServiceRefusedError as error:
                if _NOT_YET not in str(error) or time.monotonic() > deadline:
                    raise
            time.sleep(self.connection.poll_s)

    def _replace(self, wanted: dict[str, Any] | None) -> None:
        s3 = self.connection.client("s3")
        with translated(self.connection.endpoint_url):
            found: Any = s3.get_bucket_notification_configuration(Bucket=self.bucket)
            found.pop("ResponseMetadata")
            functions = found.get(_FUNCTIONS, [])
            ours = [each for each in functions if each.get("Id") == self._id]
            if [*map(_compared, ours)] == [_compared(each) for each in (wanted,) if each]:
                return
            others = [each for each in functions if each not in ours]
            found[_FUNCTIONS] = others if wanted is None else [*others, wanted]
            s3.put_bucket_notification_configuration(
                Bucket=self.bucket, NotificationConfiguration=found
            )


def connect(connection: Connection, stack: StackState) -> None:
    """Connect or disconnect the inbox of a stack, as its outputs say.

    Raises
    ------
    DeploymentError
        S3 refuses.
    """
    bucket, function = stack.outputs.get("Bucket"), stack.outputs.get(FUNCTION_OUTPUT)
    if bucket is None:
        return  # not the main stack
    inbox = Inbox(connection, stack.name, bucket)
    if function is None:
        inbox.disconnect()
    else:
        inbox.connect(function)


def _notification(name: str, function: str) -> dict[str, Any]:
    rules = [{"Name": "prefix", "Value": PREFIX}, {"Name": "suffix", "Value": SUFFIX}]
    return {
        "Id": name,
        "LambdaFunctionArn": function,
        "Events": [EVENTS],
        "Filter": {"Key": {"FilterRules": rules}},
    }


def _compared(notification: dict[str, Any]) -> Any:
    """Return a notification's content without its spelling, which S3 changes."""
    rules = notification.get("Filter", {}).get("Key", {}).get("FilterRules", [])
    filters = {(each["Name"].lower(), each["Value"]) for each in rules}
    return notification["LambdaFunctionArn"], {*notification["Events"]}, filters

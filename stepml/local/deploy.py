"""Deploys a SAM template into the local AWS."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.exceptions import ClientError

from stepml.local.packing import TemplateError, packed, read_template, translated
from stepml.local_identity import ACCOUNT_ID, REGION, isolated_session

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_s3 import S3Client

__all__ = ["DeploymentError", "TemplateError", "delete", "deploy"]

DEFAULT_STACK_NAME = "stepml"
DEPLOYMENT_BUCKET = f"stepml-deployments-{ACCOUNT_ID}-{REGION}"
STACK_WAIT_S = 120.0
STACK_POLL_S = 0.05
DEPLOYED = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE"})
# A stack in one of these states must be deleted before it can be created again.
DEAD = frozenset({"CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED"})


class DeploymentError(Exception):
    """CloudFormation failed; the message has the reason from the stack's events."""


def deploy(
    endpoint_url: str,
    template_path: Path,
    *,
    stack_name: str = DEFAULT_STACK_NAME,
    parameters: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Create the stack, or update it if anything has changed, and return its outputs.

    Parameters
    ----------
    endpoint_url : str
        The address of a running local AWS.
    template_path : Path
        A SAM template; its ``CodeUri`` and ``DefinitionUri`` are packed and uploaded.
    stack_name : str
    parameters : mapping, optional
        Values of the template's parameters. The others have their defaults.

    Raises
    ------
    TemplateError
        The template is missing or invalid, or has a type of resource that the local AWS lacks.
    DeploymentError
        CloudFormation failed; the stack is as it was before.
    """
    template = read_template(template_path)
    s3 = _client("s3", endpoint_url)
    s3.create_bucket(Bucket=DEPLOYMENT_BUCKET)
    ready = translated(packed(template, template_path.parent, _uploader(s3)))
    stacks = _client("cloudformation", endpoint_url)
    _bring_up(stacks, stack_name, ready, dict(parameters or {}))
    return _outputs(_described(stacks, stack_name))


def delete(endpoint_url: str, *, stack_name: str = DEFAULT_STACK_NAME) -> None:
    """Delete the stack and its resources, if there is one.

    Raises
    ------
    DeploymentError
        A resource cannot be deleted, such as a bucket with objects in it.
    """
    stacks = _client("cloudformation", endpoint_url)
    stack = _find(stacks, stack_name)
    if stack is not None:
        _take_down(stacks, stack["StackId"])


def _uploader(s3: S3Client) -> Any:
    def upload(key: str, content: bytes) -> str:
        s3.put_object(Bucket=DEPLOYMENT_BUCKET, Key=key, Body=content)
        return f"s3://{DEPLOYMENT_BUCKET}/{key}"

    return upload


def _bring_up(
    stacks: CloudFormationClient,
    name: str,
    template: dict[str, Any],
    parameters: dict[str, str],
) -> None:
    stack = _find(stacks, name)
    if stack is not None and stack["StackStatus"] in DEAD:
        _take_down(stacks, stack["StackId"])
        stack = None
    if stack is not None and _is_current(stacks, stack, template, parameters):
        return
    change = stacks.create_stack if stack is None else stacks.update_stack
    try:
        change(
            StackName=name,
            TemplateBody=json.dumps(template),
            Parameters=[
                {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
            ],
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
        )
    except ClientError as error:
        raise DeploymentError(f"stack {name!r}: {error}") from error
    _await_deployed(stacks, name)


def _take_down(stacks: CloudFormationClient, stack_id: str) -> None:
    stacks.delete_stack(StackName=stack_id)
    deadline = time.monotonic() + STACK_WAIT_S
    while (status := _described(stacks, stack_id)["StackStatus"]) != "DELETE_COMPLETE":
        if status == "DELETE_FAILED" or time.monotonic() > deadline:
            raise DeploymentError(_failure(stacks, stack_id, status))
        time.sleep(STACK_POLL_S)


def _is_current(
    stacks: CloudFormationClient,
    stack: Any,
    template: dict[str, Any],
    parameters: dict[str, str],
) -> bool:
    deployed: Any = stacks.get_template(StackName=stack["StackId"])["TemplateBody"]
    if isinstance(deployed, str):
        deployed = json.loads(deployed)
    defaults = {
        name: str(slot["Default"])
        for name, slot in template.get("Parameters", {}).items()
        if "Default" in slot
    }
    now = {
        item["ParameterKey"]: str(item["ParameterValue"]) for item in stack.get("Parameters", [])
    }
    return bool(deployed == template and now == {**defaults, **parameters})


def _await_deployed(stacks: CloudFormationClient, name: str) -> None:
    deadline = time.monotonic() + STACK_WAIT_S
    while (status := _described(stacks, name)["StackStatus"]) not in DEPLOYED:
        if not status.endswith("_IN_PROGRESS") or time.monotonic() > deadline:
            raise DeploymentError(_failure(stacks, name, status))
        time.sleep(STACK_POLL_S)


def _failure(stacks: CloudFormationClient, name: str, status: str) -> str:
    events = stacks.describe_stack_events(StackName=name)["StackEvents"]
    failures = [event for event in events if event.get("ResourceStatus", "").endswith("_FAILED")]
    newest = max(failures, key=lambda event: event["Timestamp"], default=None)
    reason = "" if newest is None else newest.get("ResourceStatusReason", "")
    return f"stack {name!r} is {status}: {reason or 'no reason given'}"


def _find(stacks: CloudFormationClient, name: str) -> Any:
    try:
        return _described(stacks, name)
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise


def _described(stacks: CloudFormationClient, name: str) -> Any:
    return stacks.describe_stacks(StackName=name)["Stacks"][0]


def _outputs(stack: Any) -> dict[str, str]:
    return {item["OutputKey"]: item["OutputValue"] for item in stack.get("Outputs", [])}


def _client(service: Any, endpoint_url: str) -> Any:
    return isolated_session().client(
        service,
        endpoint_url=endpoint_url,
        # The local AWS would refuse a repeated request again.
        config=Config(retries={"total_max_attempts": 1}, proxies={}),
    )

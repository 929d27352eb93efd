"""Functions, roles, log groups, buckets and permissions, where moto is incomplete."""

from __future__ import annotations

import json
from typing import Any

from moto.awslambda.models import LambdaFunction, Permission
from moto.iam.models import ManagedPolicy, Role, iam_backends
from moto.logs.models import LogGroup
from moto.s3.exceptions import BucketNotEmpty
from moto.s3.models import FakeBucket, s3_backends
from moto.utilities.utils import get_partition

from stepml.local.seams import Seams

seams = Seams()

_create_function = vars(LambdaFunction)["create_from_cloudformation_json"].__func__
_create_role = vars(Role)["create_from_cloudformation_json"].__func__
_delete_role = vars(Role)["delete_from_cloudformation_json"].__func__
_update_function = vars(LambdaFunction)["update_from_cloudformation_json"].__func__


@seams.replaces(
    LambdaFunction,
    "create_from_cloudformation_json",
    why="ignores the log group",
    kind=classmethod,
)
def create_function(
    cls: Any,
    resource_name: str,
    cloudformation_json: Any,
    account_id: str,
    region_name: str,
    **kwargs: Any,
) -> Any:
    function = _create_function(
        cls, resource_name, cloudformation_json, account_id, region_name, **kwargs
    )
    _set_log_group(function, cloudformation_json["Properties"])
    return function


def _set_log_group(function: Any, properties: Any) -> None:
    usual = f"/aws/lambda/{function.function_name}"
    function.logs_group_name = properties.get("LoggingConfig", {}).get("LogGroup", usual)


@seams.replaces(
    LambdaFunction,
    "update_from_cloudformation_json",
    why="does not remove settings that the new template lacks, nor change the name",
    kind=classmethod,
)
def update_function(
    cls: Any,
    original_resource: Any,
    new_resource_name: str,
    cloudformation_json: Any,
    account_id: str,
    region_name: str,
) -> Any:
    properties = cloudformation_json["Properties"]
    if properties.get("FunctionName", original_resource.function_name) != (
        original_resource.function_name
    ):
        replacement = cls.create_from_cloudformation_json(
            new_resource_name, cloudformation_json, account_id, region_name
        )
        original_resource.delete(account_id, region_name)
        return replacement
    defaults = {"Environment": {"Variables": {}}, "Timeout": 3, "MemorySize": 128}
    complete = {**cloudformation_json, "Properties": {**defaults, **properties}}
    _set_log_group(original_resource, properties)
    return _update_function(
        cls, original_resource, new_resource_name, complete, account_id, region_name
    )


@seams.replaces(
    Role, "create_from_cloudformation_json", why="attaches no managed policy", kind=classmethod
)
def create_role(
    cls: Any,
    resource_name: str,
    cloudformation_json: Any,
    account_id: str,
    region_name: str,
    **kwargs: Any,
) -> Any:
    role = _create_role(cls, resource_name, cloudformation_json, account_id, region_name, **kwargs)
    _attach_policies(role, cloudformation_json["Properties"])
    return role


def _attach_policies(role: Any, properties: Any) -> None:
    """Give ``role`` the managed policies of its resource, other than AWS's own."""
    known = iam_backends[role.account_id][role.partition].managed_policies
    role.managed_policies.clear()
    for arn in properties.get("ManagedPolicyArns", []):
        if arn in known:
            role.managed_policies[arn] = known[arn]


@seams.replaces(
    Role,
    "delete_from_cloudformation_json",
    why="refuses a role with managed policies",
    kind=classmethod,
)
def delete_role(
    cls: Any, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str
) -> None:
    backend = iam_backends[account_id][get_partition(region_name)]
    backend.get_role(resource_name).managed_policies.clear()
    _delete_role(cls, resource_name, cloudformation_json, account_id, region_name)


@seams.replaces(
    ManagedPolicy,
    "update_from_cloudformation_json",
    why="has no update",
    kind=classmethod,
)
def update_managed_policy(
    cls: Any, original_resource: Any, new_resource_name: str, cloudformation_json: Any, **_: Any
) -> Any:
    document = json.dumps(cloudformation_json["Properties"]["PolicyDocument"])
    for version in original_resource.versions:
        if version.is_default:
            version.document = document
    return original_resource


@seams.replaces(
    ManagedPolicy,
    "delete_from_cloudformation_json",
    why="has no deletion",
    kind=classmethod,
)
def delete_managed_policy(
    cls: Any, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str
) -> None:
    backend = iam_backends[account_id][get_partition(region_name)]
    backend.managed_policies.pop(resource_name, None)


@seams.replaces(
    Role,
    "update_from_cloudformation_json",
    why="does not change policies",
    kind=classmethod,
)
def update_role(
    cls: Any,
    original_resource: Any,
    new_resource_name: str,
    cloudformation_json: Any,
    account_id: str,
    region_name: str,
) -> Any:
    properties = cloudformation_json["Properties"]
    trust = properties["AssumeRolePolicyDocument"]
    original_resource.assume_role_policy_document = (
        trust if isinstance(trust, str) else json.dumps(trust)
    )
    original_resource.policies.clear()
    for policy in properties.get("Policies", []):
        original_resource.put_policy(policy["PolicyName"], policy["PolicyDocument"])
    _attach_policies(original_resource, properties)
    return original_resource


@seams.replaces(
    LogGroup,
    "update_from_cloudformation_json",
    why="changes neither retention nor name",
    kind=classmethod,
)
def update_log_group(
    cls: Any,
    original_resource: Any,
    new_resource_name: str,
    cloudformation_json: Any,
    account_id: str,
    region_name: str,
) -> Any:
    properties = cloudformation_json["Properties"]
    if properties.get("LogGroupName", original_resource.name) != original_resource.name:
        replacement = cls.create_from_cloudformation_json(
            new_resource_name, cloudformation_json, account_id, region_name
        )
        original_resource.delete(account_id, region_name)
        return replacement
    original_resource.retention_in_days = properties.get("RetentionInDays")
    return original_resource


@seams.replaces(
    FakeBucket,
    "delete_from_cloudformation_json",
    why="reports a bucket with objects as deleted, but does not delete it",
    kind=classmethod,
)
def delete_bucket(
    cls: Any, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str
) -> None:
    backend = s3_backends[account_id][get_partition(region_name)]
    if backend.delete_bucket(resource_name) is None:
        raise BucketNotEmpty(bucket_name=resource_name)


@seams.replaces(
    Permission,
    "update_from_cloudformation_json",
    why="has no update; an old statement does no harm, as no permission to invoke is enforced",
    kind=classmethod,
)
def keep_permission(cls: Any, original_resource: Any, **_: Any) -> Any:
    return original_resource

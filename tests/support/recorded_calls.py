"""The calls of AWS that a command makes, and whether a policy of IAM allows them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any
from unittest.mock import patch

import botocore.client

from tests.support.paths import ROOT

POLICIES = ROOT / "templates" / "policies"
# Operations with permissions of another name.
PERMISSIONS = {
    "s3:HeadObject": "s3:GetObject",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "s3:ListObjectVersions": "s3:ListBucketVersions",
    "s3:DeleteObjects": "s3:DeleteObject",
    "s3:CreateMultipartUpload": "s3:PutObject",
    "s3:UploadPart": "s3:PutObject",
    "s3:CompleteMultipartUpload": "s3:PutObject",
    "s3:GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "s3:PutBucketEncryption": "s3:PutEncryptionConfiguration",
    "s3:GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
    "s3:PutBucketLifecycleConfiguration": "s3:PutLifecycleConfiguration",
    "s3:GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "s3:PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "lambda:Invoke": "lambda:InvokeFunction",
}
PREFIXES = {"stepfunctions": "states"}
# Parameters that name a resource, with the form of its ARN.
NAMED = {
    "cloudformation": {"StackName": "stack/{}/id", "ChangeSetName": "changeSet/{}/id"},
    "dynamodb": {"TableName": "table/{}"},
    "lambda": {"FunctionName": "function:{}"},
    "logs": {"logGroupName": "log-group:{}"},
    "secretsmanager": {"SecretId": "secret:{}-a1b2c3", "Name": "secret:{}-a1b2c3"},
}
Call = tuple[str, str]  # an action, and the resource on which it acts
Statements = list[dict[str, Any]]


def policy(person: str) -> Statements:
    """Return the statements of the policy of one kind of person."""
    document = json.loads((POLICIES / f"{person}.json").read_text())
    assert document["Version"] == "2012-10-17"
    statements: Statements = document["Statement"]
    return statements


def is_allowed(statements: Statements, action: str, resource: str) -> bool:
    return any(
        any(fnmatchcase(action, each) for each in statement["Action"])
        and any(fnmatchcase(resource, each) for each in statement["Resource"])
        for statement in statements
    )


def denied(statements: Statements, calls: list[Call]) -> list[Call]:
    """Return those of the calls that the statements do not allow."""
    return [each for each in dict.fromkeys(calls) if not is_allowed(statements, *each)]


@contextmanager
def recorded_calls() -> Iterator[list[Call]]:
    """Record the calls of this process; they reach the service."""
    made: list[Call] = []
    send: Callable[..., Any] = botocore.client.BaseClient._make_api_call

    def record(client: Any, operation: str, parameters: dict[str, Any]) -> Any:
        service = client.meta.service_model.service_name
        action = f"{PREFIXES.get(service, service)}:{operation}"
        action = PERMISSIONS.get(action, action)
        made.extend((action, each) for each in _resources(service, parameters))
        return send(client, operation, parameters)

    with patch.object(botocore.client.BaseClient, "_make_api_call", record):
        yield made


def _resources(service: str, parameters: dict[str, Any]) -> list[str]:
    """Return the ARNs on which a call acts."""
    if service == "s3" and "Bucket" in parameters:
        keys = [each["Key"] for each in parameters.get("Delete", {}).get("Objects", [])]
        names = keys or [parameters[name] for name in ("Key",) if name in parameters]
        bucket = f"arn:aws:s3:::{parameters['Bucket']}"
        return [f"{bucket}/{name}" for name in names] or [bucket]
    arns = [str(value) for name, value in parameters.items() if name.lower().endswith("arn")]
    if arns:
        return arns
    for name, form in NAMED.get(service, {}).items():
        if name in parameters:
            return [_arn(service, form, str(parameters[name]))]
    return ["*"]


def _arn(service: str, form: str, name: str) -> str:
    if name.startswith("arn:"):
        return name
    return f"arn:aws:{service}:us-east-1:1:{form.format(name)}"

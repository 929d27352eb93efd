"""In S3, a function may do what the policies of its role allow."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from stepml.local.functions import access_key
from stepml.local_identity import REGION
from tests.support.deployment import deploy
from tests.support.running_aws import RunningAws

TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})


def allow(*actions: str, resource: Any, **fields: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": list(actions), "Resource": resource, **fields}


def function_client(aws: RunningAws, *statements: dict[str, Any], managed: bool = False) -> Any:
    """Return the S3 client of a function whose role has the ``statements``."""
    iam = aws.client("iam")
    name = f"role-{uuid.uuid4().hex}"
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)["Role"]
    document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
    if managed:
        policy = iam.create_policy(PolicyName=name, PolicyDocument=document)["Policy"]
        iam.attach_role_policy(RoleName=name, PolicyArn=policy["Arn"])
    else:
        iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=document)
    return s3_client(aws, access_key(role["Arn"]))


def s3_client(aws: RunningAws, key: str) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=aws.endpoint_url,
        region_name=REGION,
        aws_access_key_id=key,
        aws_secret_access_key="test",
        aws_session_token="test",
        config=Config(retries={"total_max_attempts": 1}),
    )


def denied(call: Any, **parameters: Any) -> bool:
    """Return whether a call is denied; any other failure is none of permissions."""
    try:
        call(**parameters)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in ("AccessDenied", "403"):
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 403
            return True
        assert code in ("NoSuchKey", "404", "NoSuchUpload"), error
    return False


@pytest.fixture(scope="module")
def bucket(aws: RunningAws) -> str:
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="permissions")
    for key in ("data/rows", "secret/rows"):
        s3.put_object(Bucket="permissions", Key=key, Body=b"rows")
    return "permissions"


DATA = "arn:aws:s3:::permissions/data/*"
BUCKET = "arn:aws:s3:::permissions"


@pytest.mark.parametrize("managed", [False, True])
def test_only_what_is_allowed_is_permitted(aws: RunningAws, bucket: str, managed: bool) -> None:
    s3 = function_client(aws, allow("s3:Get*", resource=DATA), managed=managed)
    assert s3.get_object(Bucket=bucket, Key="data/rows")["Body"].read() == b"rows"
    assert not denied(s3.head_object, Bucket=bucket, Key="data/rows")
    for call, parameters in (
        (s3.get_object, {"Key": "secret/rows"}),
        (s3.head_object, {"Key": "secret/rows"}),
        (s3.put_object, {"Key": "data/new"}),
        (s3.delete_object, {"Key": "data/rows"}),
        (s3.create_multipart_upload, {"Key": "data/new"}),
        (s3.copy_object, {"Key": "data/new", "CopySource": f"{bucket}/data/rows"}),
        (s3.list_objects_v2, {}),
        (s3.head_bucket, {}),
        (s3.delete_bucket, {}),
    ):
        assert denied(call, Bucket=bucket, **parameters), parameters


def test_an_absent_object_is_denied_to_those_who_may_not_list(aws: RunningAws, bucket: str) -> None:
    reads = allow("s3:GetObject", resource=DATA)
    assert denied(function_client(aws, reads).get_object, Bucket=bucket, Key="data/absent")
    lists = allow("s3:ListBucket", resource=BUCKET)
    both = function_client(aws, reads, lists)
    assert not denied(both.get_object, Bucket=bucket, Key="data/absent")


def test_conditions_on_a_prefix_hold(aws: RunningAws, bucket: str) -> None:
    condition = {"StringLike": {"s3:prefix": ["data/*"]}}
    s3 = function_client(aws, allow("s3:ListBucket", resource=BUCKET, Condition=condition))
    assert s3.list_objects_v2(Bucket=bucket, Prefix="data/")["KeyCount"] == 1
    for prefix in ("", "secret/"):
        assert denied(s3.list_objects_v2, Bucket=bucket, Prefix=prefix)


def test_a_denial_is_stronger(aws: RunningAws, bucket: str) -> None:
    everything = allow("s3:*", resource="*")
    but = {**allow("s3:GetObject", resource="arn:aws:s3:::*/secret/*"), "Effect": "Deny"}
    s3 = function_client(aws, everything, but)
    assert not denied(s3.get_object, Bucket=bucket, Key="data/rows")
    assert denied(s3.get_object, Bucket=bucket, Key="secret/rows")


def test_several_objects_are_deleted_or_none(aws: RunningAws) -> None:
    aws.client("s3").create_bucket(Bucket="deletions")
    deletes = allow("s3:DeleteObject", resource="arn:aws:s3:::deletions/*")
    request: dict[str, Any] = {"Bucket": "deletions", "Delete": {"Objects": [{"Key": "a"}]}}
    assert "Errors" not in function_client(aws, deletes).delete_objects(**request)
    other = allow("s3:DeleteObject", resource=DATA)
    [error] = function_client(aws, other).delete_objects(**request)["Errors"]
    assert error["Code"] == "AccessDenied"


def test_a_copy_needs_its_source(aws: RunningAws, bucket: str) -> None:
    writes = allow("s3:PutObject", resource=DATA)
    copy = {"Bucket": bucket, "Key": "data/copy", "CopySource": f"{bucket}/data/rows"}
    assert denied(function_client(aws, writes).copy_object, **copy)
    reads = allow("s3:GetObject", "s3:ListBucket", resource=[DATA, BUCKET])
    assert not denied(function_client(aws, writes, reads).copy_object, **copy)


def test_others_are_not_restricted(aws: RunningAws, bucket: str) -> None:
    assert aws.client("s3").get_object(Bucket=bucket, Key="secret/rows")["ContentLength"] == 4


TEMPLATE = """
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Parameters:
  Bucket:
    Type: String
Resources:
  Policy:
    Type: AWS::IAM::ManagedPolicy
    Properties:
      PolicyDocument:
        Version: "2012-10-17"
        Statement:
          - Effect: Allow
            Action: [s3:GetObject, s3:ListBucket]
            Resource: [!Sub "arn:aws:s3:::${Bucket}", !Sub "arn:aws:s3:::${Bucket}/*"]
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument: {Version: "2012-10-17", Statement: []}
      ManagedPolicyArns: [!Ref Policy]
Outputs:
  Role:
    Value: !GetAtt Role.Arn
"""


def test_a_stack_changes_the_permissions_of_its_roles(aws: RunningAws, tmp_path: Path) -> None:
    template = tmp_path / "template.yaml"
    template.write_text(TEMPLATE)
    buckets = [f"stack-{i}-{uuid.uuid4().hex}" for i in range(2)]
    for name in buckets:
        aws.client("s3").create_bucket(Bucket=name)
    for allowed in buckets:
        parameters = {"Bucket": allowed}
        role = deploy(aws.endpoint_url, template, stack_name="roles", parameters=parameters)["Role"]
        s3 = s3_client(aws, access_key(role))
        assert [denied(s3.list_objects_v2, Bucket=name) for name in buckets] == [
            name != allowed for name in buckets
        ]


@pytest.mark.parametrize(
    ("statement", "is_denied"),
    [
        ({"Condition": {"Bool": {"aws:SecureTransport": "false"}}}, False),
        ({"Condition": {"StringEquals": {"aws:PrincipalArn": "other"}}}, False),
        ({}, True),
        ({"Principal": {"AWS": "arn:aws:iam::123456789012:role/other"}}, False),
        ({"Action": "s3:PutObject"}, False),
    ],
)
def test_the_policy_of_a_bucket_denies_what_its_conditions_are_about(
    aws: RunningAws, statement: dict[str, Any], is_denied: bool
) -> None:
    s3, name = aws.client("s3"), f"bucket-{uuid.uuid4().hex}"
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="rows", Body=b"rows")
    everything = {"Effect": "Deny", "Principal": "*", "Action": "s3:*"}
    resource = {"Resource": [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"]}
    policy = {"Version": "2012-10-17", "Statement": [everything | resource | statement]}
    s3.put_bucket_policy(Bucket=name, Policy=json.dumps(policy))
    assert denied(s3.get_object, Bucket=name, Key="rows") == is_denied

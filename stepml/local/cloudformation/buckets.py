"""Buckets: life cycles, and the access to them."""

from __future__ import annotations

import json
from typing import Any

from moto.core.common_models import CloudFormationModel
from moto.s3.models import FakeBucket, PublicAccessBlock, s3_backends
from moto.utilities.utils import get_partition

from stepml.local.seams import Seams

seams = Seams()

_create_bucket = vars(FakeBucket)["create_from_cloudformation_json"].__func__
_update_bucket = vars(FakeBucket)["update_from_cloudformation_json"].__func__
_BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


@seams.replaces(
    FakeBucket,
    "create_from_cloudformation_json",
    why="ignores life cycles and blocked access",
    kind=classmethod,
)
def create_bucket(
    cls: Any, resource_name: str, cloudformation_json: Any, *where: Any, **more: Any
) -> Any:
    bucket = _create_bucket(cls, resource_name, cloudformation_json, *where, **more)
    _configure(bucket, cloudformation_json.get("Properties", {}))
    return bucket


@seams.replaces(
    FakeBucket,
    "update_from_cloudformation_json",
    why="ignores life cycles and blocked access",
    kind=classmethod,
)
def update_bucket(
    cls: Any, original_resource: Any, new_resource_name: str, cloudformation_json: Any, **more: Any
) -> Any:
    bucket = _update_bucket(cls, original_resource, new_resource_name, cloudformation_json, **more)
    _configure(bucket, cloudformation_json["Properties"])
    return bucket


def _configure(bucket: Any, properties: dict[str, Any]) -> None:
    rules = properties.get("LifecycleConfiguration", {}).get("Rules", [])
    if rules:
        bucket.set_lifecycle([_rule_of_api(rule) for rule in rules])
    else:
        bucket.delete_lifecycle()
    blocked = properties.get("PublicAccessBlockConfiguration")
    bucket.public_access_block = blocked and PublicAccessBlock(
        *(str(blocked.get(name, False)).lower() for name in _BLOCKS)
    )


def _rule_of_api(rule: dict[str, Any]) -> dict[str, Any]:
    """Return a rule in the spelling of PutBucketLifecycleConfiguration."""
    made: dict[str, Any] = {
        "ID": rule.get("Id"),
        "Status": rule["Status"],
        "Filter": {"Prefix": rule.get("Prefix", "")},
    }
    if "ExpirationInDays" in rule:
        made["Expiration"] = {"Days": int(rule["ExpirationInDays"])}
    if "AbortIncompleteMultipartUpload" in rule:
        made["AbortIncompleteMultipartUpload"] = rule["AbortIncompleteMultipartUpload"]
    return made


class BucketPolicyOfStack(CloudFormationModel):
    """AWS::S3::BucketPolicy, which moto's CloudFormation does not have."""

    def __init__(self, bucket: str) -> None:
        self.bucket = bucket

    @staticmethod
    def cloudformation_name_type() -> str:
        return ""

    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::S3::BucketPolicy"

    @property
    def physical_resource_id(self) -> str:
        return self.bucket

    @classmethod
    def create_from_cloudformation_json(
        cls,
        resource_name: str,
        cloudformation_json: Any,
        account_id: str,
        region_name: str,
        **kwargs: Any,
    ) -> Any:
        given = cloudformation_json["Properties"]
        policy = json.dumps(given["PolicyDocument"]).encode()
        backend = s3_backends[account_id][get_partition(region_name)]
        backend.put_bucket_policy(given["Bucket"], policy)
        return cls(given["Bucket"])

    @classmethod
    def update_from_cloudformation_json(
        cls,
        original_resource: Any,
        new_resource_name: str,
        cloudformation_json: Any,
        account_id: str,
        region_name: str,
    ) -> Any:
        return cls.create_from_cloudformation_json(
            new_resource_name, cloudformation_json, account_id, region_name
        )

    @classmethod
    def delete_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str
    ) -> None:
        buckets = s3_backends[account_id][get_partition(region_name)].buckets
        if resource_name in buckets:  # else it went first
            buckets[resource_name].policy = None

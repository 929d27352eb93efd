"""Describes changes of stacks in words, the dangerous ones first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stepml.deployment.records import Change, ChangeSet

# Singular and plural of what stacks have; others are called by their types.
_NOUNS = {
    "AWS::AutoScaling::AutoScalingGroup": ("virtual machine", "virtual machines"),
    "AWS::CloudFormation::Stack": ("stack", "stacks"),
    "AWS::DynamoDB::Table": ("table", "tables"),
    "AWS::EC2::LaunchTemplate": ("launch template", "launch templates"),
    "AWS::EC2::NetworkInterface": ("network interface", "network interfaces"),
    "AWS::EC2::RouteTable": ("route table", "route tables"),
    "AWS::EC2::SecurityGroup": ("security group", "security groups"),
    "AWS::EC2::Subnet": ("subnet", "subnets"),
    "AWS::EC2::SubnetRouteTableAssociation": ("route", "routes"),
    "AWS::EC2::VPC": ("network", "networks"),
    "AWS::EC2::VPCEndpoint": ("endpoint", "endpoints"),
    "AWS::ElastiCache::CacheCluster": ("Memcached server", "Memcached servers"),
    "AWS::ElastiCache::ParameterGroup": ("group of settings", "groups of settings"),
    "AWS::ElastiCache::ReplicationGroup": ("Redis server", "Redis servers"),
    "AWS::ElastiCache::SubnetGroup": ("group of subnets", "groups of subnets"),
    "AWS::ElastiCache::User": ("user of Redis", "users of Redis"),
    "AWS::ElastiCache::UserGroup": ("group of users", "groups of users"),
    "AWS::Events::Rule": ("rule", "rules"),
    "AWS::IAM::InstanceProfile": ("instance profile", "instance profiles"),
    "AWS::IAM::ManagedPolicy": ("policy", "policies"),
    "AWS::IAM::Role": ("role", "roles"),
    "AWS::Lambda::Alias": ("alias", "aliases"),
    "AWS::Lambda::Function": ("function", "functions"),
    "AWS::Lambda::Permission": ("permission", "permissions"),
    "AWS::Lambda::Version": ("version of a function", "versions of functions"),
    "AWS::Logs::LogGroup": ("log group", "log groups"),
    "AWS::S3::Bucket": ("bucket", "buckets"),
    "AWS::S3::BucketPolicy": ("bucket policy", "bucket policies"),
    "AWS::SNS::Topic": ("topic", "topics"),
    "AWS::SNS::TopicPolicy": ("topic policy", "topic policies"),
    "AWS::SecretsManager::Secret": ("secret", "secrets"),
    "AWS::StepFunctions::StateMachine": ("state machine", "state machines"),
    "AWS::StepFunctions::StateMachineVersion": (
        "version of a state machine",
        "versions of state machines",
    ),
}
_VERSIONS = frozenset(
    {
        "AWS::Lambda::Alias",
        "AWS::Lambda::Version",
        "AWS::StepFunctions::StateMachineVersion",
    }
)
_REPLACED, _PERHAPS, _DELETED = "REPLACED", "PERHAPS REPLACED", "DELETED"
_MODIFIED = {"True": _REPLACED, "Conditional": _PERHAPS, "False": "changed"}
_ORDER = (_REPLACED, _PERHAPS, _DELETED, "changed", "created", "taken in")
DANGEROUS = frozenset({_REPLACED, _PERHAPS, _DELETED})


def noun(resource_type: str, count: int = 1) -> str:
    """Return the word for resources of a type: ``function``, ``state machines``."""
    given = _NOUNS.get(resource_type)
    if given is not None:
        return given[count != 1]
    words = " ".join(resource_type.split("::")[1:]) or resource_type
    return words if count == 1 else f"{words} (s)"


def verb(change: Change) -> str:
    """Return the verb for a change; those in capitals lose something."""
    if change.type in _VERSIONS:
        return "created" if change.action == "Add" else "changed"  # the earlier ones remain
    if change.action == "Modify":
        return _MODIFIED.get(change.replacement, _PERHAPS)
    return {"Add": "created", "Remove": _DELETED, "Import": "taken in"}.get(
        change.action, "changed"
    )


def is_dangerous(change_set: ChangeSet) -> bool:
    """Return whether a resource would be deleted or replaced."""
    return any(verb(change) in DANGEROUS for change in change_set.changes)


def described(change_set: ChangeSet) -> list[str]:
    """Return lines for people: what would be created, replaced, deleted and changed."""
    name = change_set.stack_name
    if change_set.is_new:
        return [f"stack {name!r} would be created: {counted(change_set.changes)}"]
    if not change_set.changes:
        return [f"stack {name!r}: outputs or tags would be changed"]
    lines = [f"stack {name!r} would be changed:"]
    for word in _ORDER:
        found = [change for change in change_set.changes if verb(change) == word]
        if word in DANGEROUS:
            lines += [f"  {word} {change.name} ({noun(change.type)})" for change in found]
        elif found:
            lines.append(f"  {word}: {counted(found)}")
            names = [change.name for change in found if change.type not in _VERSIONS]
            lines += [f"    {', '.join(names)}"] if names else []
    return lines


def counted(changes: Iterable[Change]) -> str:
    """Return how many resources of each kind there are: ``12 functions, 1 table``."""
    counts = Counter(change.type for change in changes)
    return ", ".join(f"{n} {noun(kind, n)}" for kind, n in counts.most_common())

"""Permissions of functions in S3: the policies of a function's role, as IAM applies them.

Only functions are restricted, and everybody by the policy of a bucket. Functions are known by an
access key that belongs to their role; other clients may do what no bucket forbids.
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from moto.iam.access_control import PermissionResult
from moto.iam.models import iam_backends
from moto.s3.exceptions import BucketAccessDeniedError, S3ClientError
from moto.s3.models import FakeBucket, s3_backends
from moto.s3.responses import S3Response

from stepml.local.functions import access_key
from stepml.local.seams import Seams

seams = Seams()

_CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/")
# A connection within this machine counts as encrypted.
_SECURE = {"aws:SecureTransport": "true"}
_EVERYBODY = ("*", {"AWS": "*"})
# moto's names of actions that IAM names otherwise.
_IAM_NAMES = {"HeadBucket": "ListBucket"}
_ROLE_KEYS: dict[str, str] = {}  # access key → ARN of the role


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a policy."""

    allows: bool
    actions: re.Pattern[str]
    resources: re.Pattern[str]
    conditions: tuple[tuple[str, str, re.Pattern[str]], ...]  # operator, key, accepted values

    def applies(self, action: str, resource: str, context: Mapping[str, str]) -> bool:
        """Return whether the statement is about this request."""
        return (
            self.actions.fullmatch(action.lower()) is not None
            and self.resources.fullmatch(resource) is not None
            and all(_holds(*condition, context) for condition in self.conditions)
        )


def _holds(operator: str, key: str, values: re.Pattern[str], context: Mapping[str, str]) -> bool:
    value = context.get(key)
    if value is None:
        return operator.endswith("IfExists") or "Not" in operator
    return (values.fullmatch(value) is None) == ("Not" in operator)


def permits(
    documents: tuple[str, ...], action: str, resource: str, context: Mapping[str, str]
) -> bool:
    """Return whether policies permit a request: one allows it, and none denies it.

    Parameters
    ----------
    documents : tuple of str
        Policies in JSON.
    action : str
        ``s3:GetObject``.
    resource : str
        An ARN.
    context : mapping
        Values of the keys of conditions: ``s3:prefix``.
    """
    return _effects(documents, action, resource, context) == {True}


def _effects(
    documents: tuple[str, ...], action: str, resource: str, context: Mapping[str, str]
) -> set[bool]:
    """Return whether the statements about a request allow it; the set is empty if none is."""
    return {
        statement.allows
        for document in documents
        for statement in _statements(document)
        if statement.applies(action, resource, context)
    }


@lru_cache(maxsize=256)
def _statements(document: str) -> tuple[Statement, ...]:
    return tuple(
        Statement(
            allows=statement["Effect"] == "Allow",
            actions=_pattern(action.lower() for action in _list(statement.get("Action", []))),
            resources=_pattern(_list(statement.get("Resource", []))),
            conditions=tuple(_conditions(statement.get("Condition", {}))),
        )
        for statement in _list(json.loads(document)["Statement"])
    )


def _conditions(conditions: Any) -> Iterator[tuple[str, str, re.Pattern[str]]]:
    for operator, keys in conditions.items():
        for key, values in keys.items():
            if operator.removesuffix("IfExists") in ("StringLike", "StringNotLike"):
                yield operator, key, _pattern(_list(values))
            else:
                yield operator, key, re.compile("|".join(map(re.escape, _list(values))))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _pattern(globs: Any) -> re.Pattern[str]:
    # IAM has no [sets], unlike fnmatch.
    escaped = [glob.replace("[", "[[]") for glob in globs]
    return re.compile("|".join(fnmatch.translate(glob) for glob in escaped) or r"(?!)")


def role_documents(key: str, account_id: str, partition: str) -> tuple[str, ...] | None:
    """Return the policies of the role with the access ``key``, or None if no role has it."""
    backend = iam_backends[account_id][partition]
    if key not in _ROLE_KEYS:
        _ROLE_KEYS.update({access_key(role.arn): role.arn for role in backend.get_roles()})
    arn = _ROLE_KEYS.get(key)
    for role in backend.get_roles():
        if role.arn == arn:
            return tuple(_documents(role))
    return None


def _documents(role: Any) -> Iterator[str]:
    for document in role.policies.values():
        yield document if isinstance(document, str) else json.dumps(document)
    for policy in role.managed_policies.values():
        yield from (version.document for version in policy.versions if version.is_default)


@seams.replaces(
    S3Response,
    "_authenticate_and_authorize_s3_action",
    why="permits functions everything, or checks the signature of every request",
)
def authorize(self: Any, bucket_name: str | None = None, key_name: str | None = None) -> None:
    credential = _CREDENTIAL.search(self.headers.get("Authorization", ""))
    if credential is None or credential[1] == "test":
        return
    documents = role_documents(credential[1], self.current_account, self.partition)
    if documents is None or bucket_name not in s3_backends.bucket_accounts:
        return
    for action, resource in _requests(self, bucket_name, key_name):
        context = {"s3:prefix": self.querystring.get("prefix", [""])[0]}
        if not permits(documents, action, f"arn:{self.partition}:s3:::{resource}", context):
            raise _denied(bucket_name)


@seams.replaces(
    FakeBucket, "get_permission", why="denies whatever a condition of the bucket's policy is about"
)
def bucket_permission(self: Any, action: str, resource: str) -> PermissionResult:
    document = json.loads(self.policy) if self.policy else {"Statement": []}
    document["Statement"] = [
        each for each in _list(document["Statement"]) if each.get("Principal") in _EVERYBODY
    ]
    effects = _effects((json.dumps(document),), action, resource, _SECURE)
    if not effects:
        return PermissionResult.NEUTRAL
    return PermissionResult.PERMITTED if effects == {True} else PermissionResult.DENIED


def _requests(response: Any, bucket: str, key: str | None) -> Iterator[tuple[str, str]]:
    """Yield the actions that a request needs, each with its bucket or object."""
    name = str(response.data["Action"])
    if key is not None:
        yield f"s3:{name}", f"{bucket}/{key}"
    elif name == "DeleteObject":
        yield "s3:DeleteObject", f"{bucket}/*"  # several objects
    else:
        yield f"s3:{_IAM_NAMES.get(name, name)}", bucket
    source = response.headers.get("x-amz-copy-source")
    if source is not None:
        yield "s3:GetObject", source.lstrip("/").partition("?")[0]
    if name == "GetObject" and response.backend.get_object(bucket, key) is None:
        yield "s3:ListBucket", bucket  # without it, an absent object is denied, not absent


def _denied(bucket: str) -> S3ClientError:
    return BucketAccessDeniedError(bucket=bucket)

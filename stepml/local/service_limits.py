"""Limits of S3 and DynamoDB that moto does not have."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from moto.dynamodb.exceptions import MockValidationException
from moto.dynamodb.responses import DynamoHandler
from moto.s3.exceptions import (
    InvalidBucketName,
    InvalidContinuationToken,
    MalformedXML,
    S3ClientError,
)
from moto.s3.models import FakeBucket, S3Backend
from moto.s3.responses import S3Response

from stepml.local.seams import Seams

seams = Seams()

MAX_KEY_BYTES = 1024
MAX_METADATA_BYTES = 2048  # names and values
MAX_PAGE = 1000  # objects that a request lists or deletes
MAX_BATCH = 25  # writes of a BatchWriteItem
_METADATA = "x-amz-meta-"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")

_create_bucket = S3Backend.create_bucket
_list_objects: Any = S3Backend.list_objects
_list_objects_v2: Any = S3Backend.list_objects_v2
_key_response = S3Response._key_response
_delete_keys = S3Response._bucket_response_delete_keys
_batch_write_item = DynamoHandler.batch_write_item


@seams.replaces(S3Backend, "create_bucket", why="accepts capital letters and underscores")
def create_bucket(self: Any, bucket_name: str, *args: Any, **kwargs: Any) -> Any:
    if not _BUCKET.fullmatch(bucket_name):
        raise InvalidBucketName
    return _create_bucket(self, bucket_name, *args, **kwargs)


@seams.replaces(S3Response, "_key_response", why="accepts keys and metadata of any length")
def key_response(self: Any, request: Any, full_url: str) -> Any:
    if len(self.parse_key_name().encode()) > MAX_KEY_BYTES:
        raise S3ClientError("KeyTooLongError", "Your key is too long")
    if request.method in ("PUT", "POST") and _metadata_bytes(request) > MAX_METADATA_BYTES:
        raise S3ClientError(
            "MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size"
        )
    return _key_response(self, request, full_url)


def _metadata_bytes(request: Any) -> int:
    return sum(
        len(name) - len(_METADATA) + len(value)
        for name, value in request.headers.items()
        if name.lower().startswith(_METADATA)
    )


@seams.replaces(
    S3Backend,
    "list_objects",
    why="lists any number of objects at once, and looks at every object of the bucket",
)
def list_objects(
    self: Any, bucket: Any, prefix: str | None, *args: Any, max_keys: int | None, **kwargs: Any
) -> Any:
    limit = None if max_keys is None else min(max_keys, MAX_PAGE)
    if prefix and type(bucket) is FakeBucket:
        bucket = SimpleNamespace(keys=beginning_with(prefix, bucket.keys))
    return _list_objects(self, bucket, prefix, *args, max_keys=limit, **kwargs)


def beginning_with(prefix: str, keys: Mapping[str, list[Any]]) -> dict[str, Any]:
    """Return the current versions of the keys with ``prefix``."""
    found = [(key, keys.get(key)) for key in list(keys) if key.startswith(prefix)]
    return {key: version for key, version in found if version is not None}


@seams.replaces(
    S3Backend,
    "list_objects_v2",
    why="lists any number of objects at once, and fails for an unknown token",
)
def list_objects_v2(
    self: Any, *args: Any, continuation_token: str | None, max_keys: int, **kwargs: Any
) -> Any:
    if continuation_token is not None and continuation_token not in self._pagination_tokens:
        raise InvalidContinuationToken
    return _list_objects_v2(
        self,
        *args,
        continuation_token=continuation_token,
        max_keys=min(max_keys, MAX_PAGE),
        **kwargs,
    )


@seams.replaces(
    S3Response, "_bucket_response_delete_keys", why="deletes any number of objects at once"
)
def delete_keys(self: Any, *args: Any, **kwargs: Any) -> Any:
    if self.body.count(b"<Object>") > MAX_PAGE:
        raise MalformedXML
    return _delete_keys(self, *args, **kwargs)


@seams.replaces(DynamoHandler, "batch_write_item", why="writes any number of items at once")
def batch_write_item(self: Any) -> Any:
    n_writes = sum(len(writes) for writes in self.body["RequestItems"].values())
    if not 1 <= n_writes <= MAX_BATCH:
        raise MockValidationException(
            "1 validation error detected: Value at 'requestItems' failed to satisfy constraint: "
            "Map value must satisfy constraint: [Member must have length less than or equal to "
            f"{MAX_BATCH}, Member must have length greater than or equal to 1]"
        )
    return _batch_write_item(self)

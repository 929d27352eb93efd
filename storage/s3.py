"""Amazon S3: the durable store of every job, and the default channel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from stepml.job.errors import (
    KeyNotFoundError,
    StorageDeniedError,
    StorageError,
    StorageUnavailableError,
    ValueChangedError,
)
from storage.base import Buffer, DurableStorage, ObjectInfo, Version
from storage.parallel import PARALLEL, at_once

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client

# boto3 would build its own, of a dozen facts, twice for each request.
USER_AGENT = f"stepml boto3/{boto3.__version__}"
DELETE_BATCH = 1000  # S3's DeleteObjects takes at most 1,000 keys
_ABSENT = {"NoSuchKey", "NoSuchBucket", "NotFound", "404"}
_DENIED = {"AccessDenied", "Forbidden", "403"}
_EXISTS = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}
_WINDOW_BYTES = 2**20  # per read, as urllib3 holds a second copy of it
_MAX_CONFLICTS = 10  # a race for one key ends sooner unless the service is broken


class S3Storage(DurableStorage):
    """The objects of one bucket.

    Parameters
    ----------
    bucket : str
    client : S3Client, optional
        A boto3 client. The default is made from the environment and has time-outs.
    """

    max_value_bytes = 5 * 2**30  # one PutObject
    request_bytes = 2**20

    def __init__(self, bucket: str, client: S3Client | None = None) -> None:
        self.bucket = bucket
        self._client = client or default_client()
        # boto3 asks for leave to send a file, which would cost a round trip for each `_Body`.
        events = self._client.meta.events
        events.register_last("before-call.s3", _ask_for_no_leave, unique_id="stepml-body")

    def save_many(self, values: Mapping[str, Buffer]) -> None:
        at_once(lambda item: self.put(*item), values.items())

    def load_many(self, keys: Sequence[str]) -> dict[str, Buffer]:
        values = at_once(self._get, keys)
        return {key: value for key, value in zip(keys, values, strict=True) if value is not None}

    def find_many(self, keys: Sequence[str]) -> set[str]:
        return {info.key for info in at_once(self.describe, keys) if info is not None}

    def delete_many(self, keys: Sequence[str]) -> None:
        for start in range(0, len(keys), DELETE_BATCH):
            batch = keys[start : start + DELETE_BATCH]
            with _translated(batch[0]):
                answer = self._client.delete_objects(
                    Bucket=self.bucket,
                    Delete={"Objects": [{"Key": key} for key in batch], "Quiet": True},
                )
            if errors := answer.get("Errors"):
                raise StorageUnavailableError(
                    f"S3 could not delete {errors[0].get('Key')}: {errors[0]}"
                )

    def list(self, prefix: str) -> Iterator[str]:
        return (info.key for info in self.describe_many(prefix))

    def publish_many(self, values: Mapping[str, Buffer]) -> dict[str, Buffer]:
        return dict(at_once(self._publish, values.items()))

    def load_version(self, key: str) -> tuple[Buffer | None, Version]:
        try:
            with _translated(key):
                answer = self._client.get_object(Bucket=self.bucket, Key=key)
                return answer["Body"].read(), Version(answer["ETag"])
        except KeyNotFoundError:
            return None, Version(None)

    def compare_and_save(self, key: str, data: Buffer, version: Version) -> bool:
        if version.token is None:
            return self._put_if(key, data, IfNoneMatch="*")
        try:
            return self._put_if(key, data, IfMatch=version.token)
        except KeyNotFoundError:  # deleted since
            return False

    def load_range(self, key: str, start: int, stop: int, etag: str | None = None) -> bytes:
        if stop <= start:
            return b""
        condition: Any = {} if etag is None else {"IfMatch": f'"{etag}"'}
        try:
            with _translated(key):
                answer = self._client.get_object(
                    Bucket=self.bucket, Key=key, Range=f"bytes={start}-{stop - 1}", **condition
                )
                return answer["Body"].read()
        except _BeyondEndError:
            return b""
        except _ConditionFailedError as error:
            raise ValueChangedError(f"{key} was changed since it was described") from error

    def load_buffer(self, key: str) -> bytearray:
        with _translated(key):
            answer = self._client.get_object(Bucket=self.bucket, Key=key)
            data = bytearray(answer["ContentLength"])
            _fill(memoryview(data), answer["Body"])
        return data

    def put(self, key: str, data: Buffer) -> ObjectInfo:
        with _translated(key):
            answer = self._client.put_object(Bucket=self.bucket, Key=key, Body=_body(data))
        return ObjectInfo(key, len(data), answer["ETag"].strip('"'))

    def describe_many(self, prefix: str) -> Iterator[ObjectInfo]:
        pages = self._client.get_paginator("list_objects_v2")
        with _translated(prefix):
            for page in pages.paginate(Bucket=self.bucket, Prefix=prefix):
                for item in page.get("Contents", []):
                    yield ObjectInfo(item["Key"], item["Size"], item["ETag"].strip('"'))

    def describe(self, key: str) -> ObjectInfo | None:
        try:
            with _translated(key):
                answer = self._client.head_object(Bucket=self.bucket, Key=key)
        except KeyNotFoundError:
            return None
        return ObjectInfo(key, answer["ContentLength"], answer["ETag"].strip('"'))

    def _publish(self, item: tuple[str, Buffer]) -> tuple[str, Buffer]:
        key, data = item
        for _ in range(_MAX_CONFLICTS):
            if self._put_if(key, data, IfNoneMatch="*"):
                return item
            first = self._get(key)
            if first is not None:  # None: deleted since, or the other writer has not finished
                return key, first
        raise StorageUnavailableError(f"S3 accepts no value for {key} and has none")

    def _get(self, key: str) -> Buffer | None:
        return self.load_version(key)[0]

    def _put_if(self, key: str, data: Buffer, **condition: Any) -> bool:
        try:
            with _translated(key):
                self._client.put_object(Bucket=self.bucket, Key=key, Body=_body(data), **condition)
        except _ConditionFailedError:
            return False
        return True


class _ConditionFailedError(StorageError):
    """The condition of a conditional write does not hold."""


class _BeyondEndError(StorageError):
    """A range begins after the end of the object."""


def open_storage(bucket: str, environment: Mapping[str, str]) -> S3Storage:
    """Open the bucket of this deployment."""
    return S3Storage(bucket)


def default_client() -> S3Client:
    """Return a client with time-outs: five attempts of at most a minute."""
    return boto3.client(
        "s3",
        config=Config(
            connect_timeout=5,
            read_timeout=60,
            max_pool_connections=2 * PARALLEL,
            retries={"mode": "standard", "total_max_attempts": 5},
            # Values that need a checksum have one of ours.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            user_agent=USER_AGENT,
        ),
    )


@contextmanager
def _translated(key: str) -> Iterator[None]:
    """Translate errors of boto3 into those of `Storage`."""
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in _ABSENT:
            raise KeyNotFoundError(f"nothing is stored under {key}") from error
        if code in _EXISTS:
            raise _ConditionFailedError(key) from error
        if code in ("InvalidRange", "416"):
            raise _BeyondEndError(key) from error
        if code in _DENIED:
            raise StorageDeniedError(f"S3 at {key}: {error}") from error
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status >= 500 or code in ("SlowDown", "RequestTimeout", "Throttling"):
            raise StorageUnavailableError(f"S3 at {key}: {error}") from error
        raise StorageError(f"S3 at {key}: {error}") from error
    except BotoCoreError as error:  # no connection, a time-out, a broken body
        raise StorageUnavailableError(f"S3 at {key}: {error}") from error


def _fill(target: memoryview, body: StreamingBody) -> None:
    filled = 0
    while filled < len(target):
        # The stubs demand a file, but any buffer works.
        n = body.readinto(cast("Any", target[filled : filled + _WINDOW_BYTES]))
        if n == 0:
            raise StorageUnavailableError(f"S3 sent {filled} of {len(target)} bytes")
        filled += n


def _body(data: Buffer) -> bytes:
    # boto3 takes no memoryview. It takes a bytearray, despite its stubs, and sends it as it is; to
    # bytes it appends the header first, in another copy, so that one packet has both.
    if not isinstance(data, memoryview):
        return cast("bytes", data)
    return cast("bytes", _Body(data)) if len(data) > _WINDOW_BYTES else bytes(data)


def _ask_for_no_leave(params: dict[str, Any], **_: Any) -> None:
    params["headers"].pop("Expect", None)


class _Body:
    """A file of the bytes of a view, without a copy of them.

    A read returns at least a window: urllib3 would send many small pieces.
    """

    def __init__(self, data: memoryview) -> None:
        self._data = data.cast("B")
        self._position = 0

    def __len__(self) -> int:
        return len(self._data)

    def read(self, size: int = -1) -> memoryview:
        """Return the next bytes."""
        start = self._position
        stop = len(self._data) if size < 0 else start + max(size, _WINDOW_BYTES)
        part = self._data[start:stop]
        self._position += len(part)
        return part

    def tell(self) -> int:
        """Return the position, as boto3 comes back to it for another attempt."""
        return self._position

    def seek(self, position: int) -> None:
        """Move to a position."""
        self._position = position

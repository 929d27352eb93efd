"""S3: values without copies, freed when deleted, and atomic conditional writes."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from typing import Any

from moto.core.common_models import BaseModel
from moto.s3.models import FakeKey, S3Backend
from moto.s3.responses import S3Response
from moto.s3.utils import _VersionedKeyStore

from stepml.local.seams import Seams

seams = Seams()

_complete_multipart_upload = S3Backend.complete_multipart_upload
_put_object = S3Response.put_object
# Writers of the same key share a lock; those of different keys seldom do.
_STRIPES = [threading.Lock() for _ in range(256)]


@seams.replaces(
    BaseModel,
    "__new__",
    kind=staticmethod,
    why="keeps every object for ever, for a web page that lists them",
)
def new_model(cls: Any, *args: Any, **kwargs: Any) -> Any:
    return object.__new__(cls)


@seams.replaces(
    S3Backend,
    "complete_multipart_upload",
    why="keeps the parts besides the whole object, which doubles its size",
)
def complete_multipart_upload(self: Any, *args: Any, **kwargs: Any) -> Any:
    key: Any = _complete_multipart_upload(self, *args, **kwargs)
    if key is not None:
        for part in key.multipart.parts.values():
            part.stored = b""  # its size and ETag remain
    return key


@seams.replaces(
    FakeKey,
    "value",
    kind=lambda read: property(read, write_value),
    why="reads the whole object from a temporary file for every request, even for a range, and "
    "shares that file's position with the computation of the ETag",
)
def read_value(self: Any) -> bytes:
    value: bytes = self.stored
    return value


def write_value(key: Any, value: bytes) -> None:
    """Store ``value`` without a copy: bytes are immutable, so readers need no lock."""
    key.stored = bytes(value)
    key.contentsize = len(key.stored)


@seams.replaces(
    FakeKey, "etag", kind=property, why="reads the value's file without the lock of other readers"
)
def etag(self: Any) -> str:
    if self._etag is None:
        self._etag = hashlib.md5(self.stored, usedforsecurity=False).hexdigest()
    return f'"{self._etag}"'


@seams.replaces(
    _VersionedKeyStore,
    "items",
    why="answers a list with status 500 if a key is deleted meanwhile",
)
def current_versions(self: Any) -> Iterator[tuple[str, Any]]:
    for key, versions in dict(self).items():
        if versions:  # not deleted meanwhile
            yield key, versions[-1]


@seams.replaces(
    _VersionedKeyStore,
    "item_size",
    why="counts the memory of Python's records of objects, for CloudWatch, instead of their bytes",
)
def stored_bytes(self: Any) -> int:
    return sum(
        getattr(version, "contentsize", 0)  # a delete marker has none
        for key in list(self)
        for version in self.getlist(key, default=[])
    )


@seams.replaces(
    S3Response, "put_object", why="checks the condition, then writes, so two callers may both win"
)
def put_object(self: Any) -> Any:
    with _STRIPES[hash((self.bucket_name, self.parse_key_name())) % len(_STRIPES)]:
        return _put_object(self)

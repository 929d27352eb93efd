"""Objects of a bucket, and files of this machine, as catalogues of data."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stepml.client.connection import Connection, translated
from stepml.job.errors import KeyNotFoundError, StorageDeniedError
from stepml.ml.data import DataObject
from stepml.records.errors import ServiceRefusedError

_ABSENT = frozenset({"404", "NoSuchKey", "NoSuchBucket"})
_DENIED = frozenset({"403", "AccessDenied"})
_BEHIND_THE_END = "InvalidRange"


class BucketObjects:
    """The objects of one bucket, read with the permissions of the person.

    Every method raises `StorageDeniedError` if these do not allow it.
    """

    def __init__(self, connection: Connection, bucket: str) -> None:
        self._connection = connection
        self._bucket = bucket

    def load_range(self, key: str, start: int, stop: int) -> bytes:
        """Return the bytes ``[start, stop)`` of an object, fewer if it ends before."""
        if stop <= start:
            return b""
        try:
            with self._asking(key):
                answer = self._connection.client("s3").get_object(
                    Bucket=self._bucket, Key=key, Range=f"bytes={start}-{stop - 1}"
                )
                return answer["Body"].read()
        except ServiceRefusedError as error:
            if error.code != _BEHIND_THE_END:
                raise
            return b""

    def describe(self, key: str) -> DataObject | None:
        """Return the object with this key, or None if it is absent."""
        try:
            with self._asking(key):
                head = self._connection.client("s3").head_object(Bucket=self._bucket, Key=key)
        except KeyNotFoundError:
            return None
        return DataObject(key, key, head["ContentLength"], head["ETag"].strip('"'))

    def describe_many(self, prefix: str) -> Iterator[DataObject]:
        """Yield each object whose key starts with ``prefix``, in the order of keys.

        Raises
        ------
        KeyNotFoundError
            There is no such bucket.
        """
        pages = self._connection.client("s3").get_paginator("list_objects_v2")
        with self._asking(prefix):
            for page in pages.paginate(Bucket=self._bucket, Prefix=prefix):
                for each in page.get("Contents", []):
                    yield DataObject(
                        each["Key"], each["Key"], each["Size"], each["ETag"].strip('"')
                    )

    @contextmanager
    def _asking(self, key: str) -> Iterator[None]:
        place = f"s3://{self._bucket}/{key}"
        try:
            with translated(self._connection.endpoint_url):
                yield
        except ServiceRefusedError as error:
            if error.code in _ABSENT:
                raise KeyNotFoundError(f"nothing lies at {place}") from error
            if error.code in _DENIED:
                raise StorageDeniedError(f"{place}: {error}") from error
            raise


class FolderFiles:
    """The files below a directory, as if it were a bucket; keys are relative paths with slashes."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def load_range(self, key: str, start: int, stop: int) -> bytes:
        """Return the bytes ``[start, stop)`` of a file, fewer if it ends before."""
        with (self._root / key).open("rb") as file:
            file.seek(start)
            return file.read(max(stop - start, 0))

    def describe(self, key: str) -> DataObject | None:
        """Return the file with this key, or None if it is absent."""
        path = self._root / key
        return _described(key, path) if path.is_file() else None

    def describe_many(self, prefix: str) -> Iterator[DataObject]:
        """Yield each file whose key starts with ``prefix``, in the order of keys."""
        folder = self._root / prefix.rpartition("/")[0]
        keys = (path.relative_to(self._root).as_posix() for path in _files_below(folder))
        for key in sorted(each for each in keys if each.startswith(prefix)):
            yield _described(key, self._root / key)


def _files_below(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):
        yield from (path for name in names if (path := Path(place, name)).is_file())


def _described(key: str, path: Path) -> DataObject:
    found = path.stat()
    return DataObject(key, key, found.st_size, f"{found.st_mtime_ns}-{found.st_size}")

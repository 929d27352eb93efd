"""The places of snapshots: a directory, or S3."""

from __future__ import annotations

import fcntl
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

SUFFIX = ".stepml-ps"
_DAMAGED = ".damaged"


class SnapshotPlace(ABC):
    """Holds snapshots under names that sort by time."""

    @abstractmethod
    def names(self) -> list[str]: ...
    @abstractmethod
    def writing(self, name: str) -> AbstractContextManager[IO[bytes]]:
        """Open a new snapshot; it is stored at the end, as a whole or not at all."""

    @abstractmethod
    def reading(self, name: str) -> AbstractContextManager[IO[bytes]]: ...
    @abstractmethod
    def delete(self, name: str) -> None: ...
    @abstractmethod
    def set_aside(self, name: str) -> None:
        """Rename a damaged snapshot, so that it is not found again."""

    def close(self) -> None:  # noqa: B027 — most have nothing to do
        """Release the place for another server."""


class _Directory(SnapshotPlace):
    def __init__(self, place: str) -> None:
        self._path = Path(place)
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Held until the process ends: two servers would restore each other's snapshots.
        self._lock_file = (self._path / "lock").open("ab")
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock_file.close()
            raise OSError(f"another parameter server keeps its snapshots in {place}") from None
        for left in self._path.glob("*.part"):
            left.unlink()

    def names(self) -> list[str]:
        return sorted(path.name for path in self._path.glob(f"*{SUFFIX}"))

    @contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        part = self._path / f"{name}.part"
        try:
            with part.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            part.rename(self._path / name)
        except BaseException:
            part.unlink(missing_ok=True)  # a full disk must not stay full
            raise
        directory = os.open(self._path, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def reading(self, name: str) -> IO[bytes]:
        return (self._path / name).open("rb")

    def delete(self, name: str) -> None:
        (self._path / name).unlink(missing_ok=True)

    def set_aside(self, name: str) -> None:
        (self._path / name).rename(self._path / f"{name}{_DAMAGED}")

    def close(self) -> None:
        self._lock_file.close()


class _S3(SnapshotPlace):
    def __init__(self, place: str) -> None:
        # Imported here: it takes longer than all other imports.
        from storage.s3 import default_client

        self._bucket, _, prefix = place.removeprefix("s3://").partition("/")
        self._prefix = prefix if not prefix or prefix.endswith("/") else f"{prefix}/"
        self._client = default_client()

    def names(self) -> list[str]:
        pages = self._client.get_paginator("list_objects_v2")
        with self._translated(""):
            keys = [
                item["Key"]
                for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix)
                for item in page.get("Contents", [])
            ]
        names = [key.removeprefix(self._prefix) for key in keys]
        return sorted(name for name in names if name.endswith(SUFFIX) and "/" not in name)

    @contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        with TemporaryFile() as file:
            yield file
            file.seek(0)
            with self._translated(name):
                self._client.upload_fileobj(file, self._bucket, self._prefix + name)

    @contextmanager
    def reading(self, name: str) -> Iterator[IO[bytes]]:
        with TemporaryFile() as file:
            with self._translated(name):
                self._client.download_fileobj(self._bucket, self._prefix + name, file)
            file.seek(0)
            yield file

    def delete(self, name: str) -> None:
        with self._translated(name):
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + name)

    def set_aside(self, name: str) -> None:
        key = self._prefix + name
        with self._translated(name):
            self._client.copy(
                {"Bucket": self._bucket, "Key": key}, self._bucket, f"{key}{_DAMAGED}"
            )
        self.delete(name)

    @contextmanager
    def _translated(self, name: str) -> Iterator[None]:
        """Raise all errors of S3 and its client as `OSError`."""
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (BotoCoreError, Boto3Error, ClientError) as error:
            raise OSError(f"s3://{self._bucket}/{self._prefix}{name}: {error}") from error


def open_place(place: str) -> SnapshotPlace:
    """Open a directory or ``s3://bucket/prefix``; raise `OSError` for one that another uses."""
    return _S3(place) if place.startswith("s3://") else _Directory(place)

"""Where snapshots lie: in a directory, or in S3. The newest whole one is found again.

A snapshot ends with a checksum of all that is before it. The two newest are kept, so that there is
one to go back to if a machine dies while it writes, or a disk damages what it holds. What has not
changed since the last one is not written again: a server without jobs costs no requests.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import SpooledTemporaryFile, TemporaryFile
from typing import IO, Any, BinaryIO

import msgspec
import xxhash

from ps_server.logs import log, log_failure
from ps_server.protocol.refusals import Refusal
from ps_server.state.parameters import Parameters
from ps_server.state.snapshots import Snapshot

_KEPT = 2
_SUFFIX = ".stepml-ps"
_DAMAGED = ".damaged"
_CHECKSUM_BYTES = 8
_READ_BYTES = 2**20
# What reading a snapshot raises that was written whole, but by another version.
_UNREADABLE = (ValueError, TypeError, LookupError, msgspec.MsgspecError, Refusal)


@dataclass(frozen=True, slots=True)
class SnapshotStatus:
    """How saving goes."""

    age_s: float  # since the last one, or since the start
    seconds: float  # that it took
    failures: int
    is_failing: bool  # the last one did


class SnapshotPlace(ABC):
    """Holds snapshots under names that sort by time."""

    @abstractmethod
    def names(self) -> list[str]:
        """Return the names of all snapshots, the newest last."""

    @abstractmethod
    def write(self, name: str, write: Callable[[BinaryIO], None]) -> None:
        """Store what ``write`` writes; it is found whole or not at all."""

    @abstractmethod
    def open(self, name: str) -> Any:
        """Return a context manager that yields a snapshot as a binary file."""

    @abstractmethod
    def delete(self, name: str) -> None:
        """Delete a snapshot."""

    @abstractmethod
    def set_aside(self, name: str) -> None:
        """Keep a damaged snapshot where it is not found any more."""

    def close(self) -> None:  # noqa: B027 — most have nothing to do
        """Let another server use the place."""


class Snapshots:
    """Saves what a server has, and brings it back.

    Parameters
    ----------
    place : str
        A directory, or ``s3://bucket/prefix``.

    Raises
    ------
    OSError
        The directory cannot be written to, or another server writes to it.
    """

    def __init__(self, place: str) -> None:
        self._place: SnapshotPlace = _S3(place) if place.startswith("s3://") else _Directory(place)
        self._lock = threading.Lock()  # one writes at a time, and the last one has the newest
        self._saved: object = None  # what tells whether anything has changed since
        self._newest = 0
        self._saved_at = time.monotonic()
        self._seconds = 0.0
        self._failures = 0
        self._is_failing = False

    @property
    def status(self) -> SnapshotStatus:
        age_s = time.monotonic() - self._saved_at
        return SnapshotStatus(age_s, self._seconds, self._failures, self._is_failing)

    def restore(self, **settings: Any) -> Parameters:
        """Return what the newest whole snapshot has, or nothing if there is none.

        Parameters
        ----------
        **settings
            Of `Parameters`.

        Raises
        ------
        OSError
            Nobody knows whether there is one: better not to start than to begin with nothing.
        """
        for name in reversed(self._place.names()):
            try:
                with self._place.open(name) as file:
                    _require_whole(file)
                    restored = Parameters.restore(file, **settings)
            except _UNREADABLE as error:
                log_failure("a snapshot is damaged", error, snapshot=name)
                self._place.set_aside(name)
                continue
            log("snapshot restored", snapshot=name, jobs=len(restored.statistics().jobs))
            return restored
        return Parameters(**settings)

    def save(self, parameters: Parameters) -> None:
        """Save all that there is now; what fails is logged, and told by `status`."""
        with self._lock:
            began = time.monotonic()
            state = parameters.state()
            try:
                if self._is_failing or state != self._saved:
                    self._write(parameters)
            except Exception as error:
                # A full disk, or S3 that does not answer, must not end what is in memory.
                self._failures += 1
                self._is_failing = True
                log_failure("a snapshot failed", error)
                return
            self._is_failing = False
            self._saved = state
            self._saved_at = began
            self._seconds = time.monotonic() - began

    def close(self) -> None:
        """Let another server use the place."""
        self._place.close()

    def _write(self, parameters: Parameters) -> None:
        names = self._place.names()
        # Names have to sort by time even if somebody sets the clock back.
        newest = max([self._newest, *map(_number, names)])
        self._newest = max(time.time_ns(), newest + 1)
        snapshot = parameters.take_snapshot()
        try:
            name = f"{self._newest:020d}{_SUFFIX}"
            self._place.write(name, lambda file: _write(snapshot, file))
        finally:
            snapshot.close()
        for old in [*names, name][:-_KEPT]:
            self._place.delete(old)


class _Directory(SnapshotPlace):
    def __init__(self, place: str) -> None:
        self._path = Path(place)
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Held as long as the process lives: two servers would take each other's for their own.
        self._lock_file = (self._path / "lock").open("ab")
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock_file.close()
            raise OSError(f"another parameter server keeps its snapshots in {place}") from None
        for left in self._path.glob("*.part"):
            left.unlink()

    def names(self) -> list[str]:
        return sorted(path.name for path in self._path.glob(f"*{_SUFFIX}"))

    def write(self, name: str, write: Callable[[BinaryIO], None]) -> None:
        path = self._path / name
        part = path.with_suffix(".part")
        try:
            with part.open("wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            part.rename(path)
        except BaseException:
            part.unlink(missing_ok=True)  # what has filled the disk must not keep it full
            raise
        directory = os.open(self._path, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        with (self._path / name).open("rb") as file:
            yield file

    def delete(self, name: str) -> None:
        (self._path / name).unlink(missing_ok=True)

    def set_aside(self, name: str) -> None:
        path = self._path / name
        path.rename(path.with_name(name + _DAMAGED))

    def close(self) -> None:
        self._lock_file.close()


class _S3(SnapshotPlace):
    def __init__(self, place: str) -> None:
        # Only where it is asked for: it takes longer than all else to import.
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
        return sorted(name for name in names if name.endswith(_SUFFIX) and "/" not in name)

    def write(self, name: str, write: Callable[[BinaryIO], None]) -> None:
        with TemporaryFile() as file:
            write(file)
            file.seek(0)
            with self._translated(name):
                self._client.upload_fileobj(file, self._bucket, self._prefix + name)

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        with SpooledTemporaryFile(max_size=2**20) as file:
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
        """Turn whatever S3 and its client raise into `OSError`."""
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (BotoCoreError, Boto3Error, ClientError) as error:
            raise OSError(f"s3://{self._bucket}/{self._prefix}{name}: {error}") from error


class _Checked:
    """A file that knows the checksum of what is written to it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._checksum = xxhash.xxh3_64()

    def write(self, data: bytes | memoryview) -> int:
        self._checksum.update(data)
        return self._file.write(data)

    def end(self) -> None:
        self._file.write(self._checksum.digest())


def _write(snapshot: Snapshot, file: BinaryIO) -> None:
    checked = _Checked(file)
    snapshot.write(checked)  # type: ignore[arg-type]  # it only writes
    checked.end()


def _require_whole(file: BinaryIO) -> None:
    """Raise `ValueError` if the checksum is wrong; else the file is at its beginning again."""
    size = file.seek(0, os.SEEK_END) - _CHECKSUM_BYTES
    file.seek(0)
    checksum = xxhash.xxh3_64()
    while size > 0:
        data = file.read(min(size, _READ_BYTES))
        checksum.update(data)
        size -= len(data)
        if not data:
            break
    if file.read(_CHECKSUM_BYTES) != checksum.digest():
        raise ValueError("the checksum is wrong")
    file.seek(0)


def _number(name: str) -> int:
    digits = name.removesuffix(_SUFFIX)
    return int(digits) if digits.isdecimal() else 0

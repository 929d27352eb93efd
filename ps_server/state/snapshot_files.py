"""Snapshots of a server, written regularly; at a start the newest whole one is read.

The two newest are kept: a machine may die while it writes, and a disk may damage a file. An
unchanged state is not written again. They lie in a directory or in S3, under names that sort by
time; both places have the same methods.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from mmap import ACCESS_READ, mmap
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Annotated, Any

import msgspec

from ps_server.logs import log, log_failure
from ps_server.protocol.calls import Metric
from ps_server.protocol.refusals import Refusal
from ps_server.state.parameters import Parameters

_SUFFIX = ".stepml-ps"
_DAMAGED = ".damaged"
_KEPT = 2
# The errors of reading a whole snapshot of another version.
_UNREADABLE = (ValueError, TypeError, LookupError, msgspec.MsgspecError, Refusal)


@dataclass(frozen=True, slots=True)
class SnapshotStatus:
    """The state of saving."""

    age_s: Annotated[float, Metric("Time since the last snapshot, or the start.")]
    seconds: Annotated[float, Metric("Time to write the last snapshot.")] = 0.0
    failures: Annotated[int, Metric("Snapshots that failed.", is_counted=True)] = 0
    is_failing: bool = False  # the last one failed


class Snapshots:
    """Saves the state of a server, and restores it.

    ``place`` is a directory or ``s3://bucket/prefix``. `OSError`: it cannot be written to, or
    another server uses it.
    """

    def __init__(self, place: str) -> None:
        self._place = _S3(place) if place.startswith("s3://") else _Directory(place)
        self._lock = threading.Lock()  # one writes at a time, and the last one has the newest
        self._saved: object = None  # `Parameters.state` of the last snapshot
        self._saved_at = time.monotonic()
        self._status = SnapshotStatus(0.0)

    @property
    def status(self) -> SnapshotStatus:
        return replace(self._status, age_s=time.monotonic() - self._saved_at)

    def restore(self, **settings: Any) -> Parameters:
        """Restore the newest whole snapshot; without any, begin with nothing.

        ``settings`` are those of `Parameters`. An `OSError` is raised, as it hides whether there
        are snapshots.
        """
        with self._place.translated():
            for name in reversed(self._place.names()):
                try:
                    with self._place.reading(name) as file:
                        data = memoryview(mmap(file.fileno(), 0, access=ACCESS_READ))
                    restored = Parameters.restore(data, **settings)
                except _UNREADABLE as error:
                    log_failure("a snapshot is damaged", error, snapshot=name)
                    self._place.set_aside(name)
                    continue
                log("snapshot restored", snapshot=name, jobs=len(restored.statistics().jobs))
                return restored
        return Parameters(**settings)

    def save(self, parameters: Parameters) -> None:
        """Save the state; a failure is logged, and shown by `status`."""
        with self._lock:
            began = time.monotonic()
            state = parameters.state()
            try:
                if self._status.is_failing or state != self._saved:
                    self._write(parameters)
            except Exception as error:
                # A full disk, or S3 that does not answer, must not stop the server.
                failures = self._status.failures + 1
                self._status = replace(self._status, failures=failures, is_failing=True)
                log_failure("a snapshot failed", error)
                return
            self._saved, self._saved_at = state, began
            seconds = time.monotonic() - began
            self._status = replace(self._status, seconds=seconds, is_failing=False)

    def close(self) -> None:
        """Release the place for another server."""
        self._place.close()

    def _write(self, parameters: Parameters) -> None:
        names = self._place.names()
        name = f"{1 + max(map(_number, names), default=0):020d}{_SUFFIX}"
        snapshot = parameters.take_snapshot()
        try:
            with self._place.writing(name) as file:
                snapshot.write(file)
        finally:
            snapshot.close()
        for old in [*names, name][:-_KEPT]:
            self._place.delete(old)


class _Directory:
    translated = nullcontext  # its errors are `OSError`

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
        return sorted(path.name for path in self._path.glob(f"*{_SUFFIX}"))

    @contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        """Open a new snapshot; it is stored at the end, as a whole or not at all."""
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
        """Rename a damaged snapshot, so that it is not found again."""
        (self._path / name).rename(self._path / f"{name}{_DAMAGED}")

    def close(self) -> None:
        self._lock_file.close()


class _S3:
    def __init__(self, place: str) -> None:
        # Imported here: it takes longer than all other imports.
        from storage.s3 import default_client

        self._bucket, _, prefix = place.removeprefix("s3://").partition("/")
        self._prefix = prefix if not prefix or prefix.endswith("/") else f"{prefix}/"
        self._client = default_client()

    def names(self) -> list[str]:
        pages = self._client.get_paginator("list_objects_v2")
        found = pages.paginate(Bucket=self._bucket, Prefix=self._prefix)
        keys = [item["Key"] for page in found for item in page.get("Contents", [])]
        names = [key.removeprefix(self._prefix) for key in keys]
        return sorted(name for name in names if name.endswith(_SUFFIX) and "/" not in name)

    @contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        with TemporaryFile() as file:
            yield file
            file.seek(0)
            self._client.upload_fileobj(file, self._bucket, self._prefix + name)

    @contextmanager
    def reading(self, name: str) -> Iterator[IO[bytes]]:
        with TemporaryFile() as file:
            self._client.download_fileobj(self._bucket, self._prefix + name, file)
            file.seek(0)
            yield file

    def delete(self, name: str) -> None:
        self._client.delete_object(Bucket=self._bucket, Key=self._prefix + name)

    def set_aside(self, name: str) -> None:
        key = self._prefix + name
        self._client.copy({"Bucket": self._bucket, "Key": key}, self._bucket, f"{key}{_DAMAGED}")
        self.delete(name)

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Raise all errors of S3 and its client as `OSError`."""
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (BotoCoreError, Boto3Error, ClientError) as error:
            raise OSError(f"s3://{self._bucket}/{self._prefix}: {error}") from error

    def close(self) -> None:
        pass


def _number(name: str) -> int:
    digits = name.removesuffix(_SUFFIX)
    return int(digits) if digits.isdecimal() else 0

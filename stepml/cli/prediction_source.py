"""Files and S3 objects of rows, as sources for the readers of training data."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

from stepml.cli.errors import BadInputError, LocalMachineError
from stepml.cli.machine import is_full, reason_of
from stepml.cli.streams import is_endless
from stepml.client import Connection
from stepml.client.connection import translated
from stepml.client.errors import ServiceRefusedError
from stepml.job.places import bucket_and_key
from stepml.ml.data import DataObject, ObjectReader
from stepml.ml.data.formats import FORMATS, format_of_file

STDIN = "-"
# The job's words in messages, and those of the command line.
_OPTIONS = {
    "set data.header to true or false": "give --header or --no-header",
    "data.header false makes": "--no-header makes",
    "data.label": "--label",
    "data.n_features": "n_features",
}


@dataclass(frozen=True, slots=True)
class Source:
    """Readable objects: the data, and for images their labels, if any."""

    reader: ObjectReader
    objects: tuple[DataObject, ...]

    def close(self) -> None:
        """Free what reading has taken."""
        if isinstance(self.reader, LocalFiles):
            self.reader.close()

    def named_in(self, message: str) -> str:
        """Return a message about objects in terms of the command line's arguments."""
        for each in self.objects:
            message = message.replace(f"s3 object {each.key}", each.key)
        for field, option in _OPTIONS.items():
            message = message.replace(field, option)
        return message


class LocalFiles:
    """Reads files; a key is a path, or ``-`` for standard input.

    A stream, which can be read only once, is copied to a temporary file at the first look.
    """

    def __init__(self) -> None:
        self._copies: dict[str, BinaryIO] = {}

    def describe(self, path: str) -> DataObject:
        """Return the file at ``path``, or raise `BadInputError`."""
        try:
            with self._opened(path) as file:
                size = file.seek(0, os.SEEK_END)
        except OSError as error:
            if is_full(error):
                raise LocalMachineError(
                    f"data {path!r}, a stream, cannot be copied: {reason_of(error)} with TMPDIR"
                ) from None
            raise BadInputError(f"data {path!r} cannot be read: {error.strerror}") from None
        return DataObject(path, path, size, "")

    def load_range(self, key: str, start: int, stop: int) -> bytes:
        with self._opened(key) as file:
            file.seek(start)
            return file.read(stop - start)

    @contextmanager
    def _opened(self, path: str) -> Iterator[BinaryIO]:
        if path in self._copies:
            yield self._copies[path]
            return
        with self._source(path) as file:
            if _is_regular(file):
                yield file
                return
            if is_endless(file):
                raise BadInputError(f"data {path!r} cannot be read: it has no end")
            self._copies[path] = copy = TemporaryFile()  # noqa: SIM115 - lives as long as self
            shutil.copyfileobj(file, copy)
        yield copy

    def close(self) -> None:
        """Remove the copies of streams."""
        for copy in self._copies.values():
            copy.close()

    def _source(self, path: str) -> AbstractContextManager[BinaryIO]:
        return nullcontext(sys.stdin.buffer) if path == STDIN else Path(path).open("rb")


def _is_regular(file: BinaryIO) -> bool:
    try:
        return stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    except OSError:  # it has no descriptor
        return False


class S3Objects:
    """Reads objects of one bucket; a key is a URI."""

    def __init__(self, connection: Connection, bucket: str) -> None:
        self._connection = connection
        self._bucket = bucket

    def load_range(self, key: str, start: int, stop: int) -> bytes:
        _, name = parsed_uri(key)
        with translated(self._connection.endpoint_url):
            answer = self._connection.client("s3").get_object(
                Bucket=self._bucket, Key=name, Range=f"bytes={start}-{stop - 1}"
            )
            return answer["Body"].read()

    def describe(self, uri: str) -> DataObject | None:
        """Return the object at ``uri``, or None if there is none."""
        _, name = parsed_uri(uri)
        try:
            with translated(self._connection.endpoint_url):
                head = self._connection.client("s3").head_object(Bucket=self._bucket, Key=name)
        except ServiceRefusedError as error:
            if error.code in {"404", "NoSuchKey", "NoSuchBucket"}:
                return None
            raise
        return DataObject(uri, uri, head["ContentLength"], head["ETag"])


def parsed_uri(uri: str) -> tuple[str, str]:
    """Return bucket and key of ``s3://bucket/key``."""
    bucket, key = bucket_and_key(uri)
    if not bucket or not key or key.endswith("/"):
        raise BadInputError(f"expected s3://bucket/key of one object, got {uri!r}")
    return bucket, key


def local_source(path: str) -> Source:
    """Return the file ``path``, or raise `BadInputError`."""
    files = LocalFiles()
    found = [files.describe(path)]
    labels = _labels_beside(path)
    if labels is not None and Path(labels).is_file():
        found.append(files.describe(labels))
    return Source(files, tuple(found))


def s3_source(uri: str, connection: Connection) -> Source:
    """Return the object ``uri``, or raise `BadInputError`."""
    reader = S3Objects(connection, parsed_uri(uri)[0])
    found = reader.describe(uri)
    if found is None:
        raise BadInputError(f"no object at {uri} ({connection.place})")
    beside = _labels_beside(uri)
    labels = None if beside is None else reader.describe(beside)
    return Source(reader, (found,) if labels is None else (found, labels))


def _labels_beside(key: str) -> str | None:
    format = format_of_file(key)  # noqa: A001
    return None if format is None else FORMATS[format].labels_beside(key)

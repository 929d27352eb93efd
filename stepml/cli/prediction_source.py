"""Files and S3 objects of rows, as sources for the readers of training data."""

from __future__ import annotations

import os
import re
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
from stepml.client.catalogues import BucketObjects, FolderFiles
from stepml.job.errors import KeyNotFoundError
from stepml.job.places import bucket_and_key
from stepml.ml.data import DataObject, ObjectReader
from stepml.ml.data.formats import FORMATS, format_of_file
from stepml.ml.data.hidden_files import is_hidden
from stepml.ml.data.objects import ObjectCatalogue, ObjectInfo

STDIN = "-"
# The job's words in messages, and those of the command line.
_OPTIONS = {
    "set data.header to true or false": "give --header or --no-header",
    "data.header false makes": "--no-header makes",
    "data.label": "--label",
    "data.n_features": "n_features",
}
# The model says the types of columns.
_TYPES = re.compile(r"; data\.columns\.types \{.*?\} makes its values levels")
_DECIMAL_COMMA = re.compile(r" is '[-+]?\d+,\d+', not a number")
_DECIMAL_HINT = "; give --set decimal=, if that is the decimal separator"
_SETTING = re.compile(
    r"(?:set )?data\.(delimiter|encoding|comment|decimal|thousands|quoted_newlines|missing_words)"
)


@dataclass(frozen=True, slots=True)
class Source:
    """Readable objects: the data, and for images their labels, if any."""

    reader: ObjectReader
    objects: tuple[DataObject, ...]  # in order of their names
    title: str  # the place, as it was given
    root: str = ""  # before the keys, for messages

    def close(self) -> None:
        """Free what reading has taken."""
        if isinstance(self.reader, LocalFiles):
            self.reader.close()

    def named_in(self, message: str) -> str:
        """Return a message about objects in terms of the command line's arguments."""
        for each in self.objects:
            message = message.replace(f"s3 object {each.key}", self.root + each.key)
        for field, option in _OPTIONS.items():
            message = message.replace(field, option)
        message = _DECIMAL_COMMA.sub(rf"\g<0>{_DECIMAL_HINT}", _TYPES.sub("", message))
        return _SETTING.sub(r"--set \1", message)


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


def source_at(place: str, connection: Connection | None = None) -> Source:
    """Return the file or folder at a path, or the object or objects at an ``s3://`` URI.

    Parameters
    ----------
    place : str
        A path, ``-`` for standard input, or a URI.
    connection : Connection, optional
        To S3; only a URI needs it.

    Raises
    ------
    BadInputError
        Nothing is there, or it cannot be read.
    """
    if connection is not None:
        return _s3_source(place, connection)
    return _folder_source(place) if Path(place).is_dir() else _file_source(place)


def _file_source(path: str) -> Source:
    files = LocalFiles()
    found = [files.describe(path)]
    places = [each for each in _labels_beside(path) if Path(each).is_file()]
    found += map(files.describe, places[:1])
    return Source(files, tuple(found), path)


def _folder_source(path: str) -> Source:
    files = FolderFiles(Path(path))
    root = f"{path.rstrip('/')}/"
    return Source(files, _below(files, "", f"file with content at {path}"), path, root)


def _s3_source(uri: str, connection: Connection) -> Source:
    bucket, key = bucket_and_key(uri)
    if not bucket:
        raise BadInputError(f"expected s3://bucket/key, got {uri!r}")
    reader, absent = BucketObjects(connection, bucket), f"object at {uri} ({connection.place})"
    found = reader.describe(key) if key and not key.endswith("/") else None
    objects = _below(reader, key, absent) if found is None else _with_labels(reader, found)
    return Source(reader, objects, uri, f"s3://{bucket}/")


def _with_labels(reader: ObjectCatalogue, found: DataObject) -> tuple[DataObject, ...]:
    labels = next(filter(None, map(reader.describe, _labels_beside(found.key))), None)
    named = () if labels is None else (_named(labels, ""),)
    return found, *named


def _below(catalogue: ObjectCatalogue, path: str, absent: str) -> tuple[DataObject, ...]:
    """Return the objects below a folder that have rows."""
    folder = f"{path.rstrip('/')}/" if path else ""
    try:
        found = [_named(each, folder) for each in catalogue.describe_many(folder)]
    except KeyNotFoundError:
        found = []
    objects = tuple(each for each in found if each.value_bytes and not is_hidden(each.name))
    if not objects:
        raise BadInputError(f"no {absent}")
    return objects


def _named(info: ObjectInfo, folder: str) -> DataObject:
    return DataObject(info.key, info.key.removeprefix(folder), info.value_bytes, info.etag)


def _labels_beside(key: str) -> tuple[str, ...]:
    format = format_of_file(key)  # noqa: A001
    return () if format is None else FORMATS[format].labels_beside(key)

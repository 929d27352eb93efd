"""Places of data: files and folders of this machine, and objects of buckets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from stepml.client.catalogues import BucketObjects, FolderFiles
from stepml.client.connection import Connection
from stepml.job.errors import InvalidDataError
from stepml.job.places import bucket_and_key
from stepml.ml.data.objects import ObjectCatalogue

_HERE = "this-machine"  # in place of a bucket
# What messages say of objects in S3, and the words for files.
_WORDS = {
    "s3 object ": "file ",
    f"s3://{_HERE}/": "",
    "data.uri: nothing lies at": "nothing lies at",
}
NO_OPTIONS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class DataPlace:
    """A place of data, and its catalogue."""

    title: str  # for people: the path or the uri
    uri: str  # for a job's data
    catalogue: ObjectCatalogue
    own_bucket: str = ""  # of the stack; empty if no stack was asked for
    is_local: bool = False
    missing: str = ""  # the path of this machine at which nothing lies

    @property
    def path(self) -> str:
        """The key of one object, or the prefix of several, in the catalogue."""
        return bucket_and_key(self.uri)[1]

    def worded(self, message: str) -> str:
        """Return a message about objects in words for this place."""
        if self.is_local:
            for words, others in _WORDS.items():
                message = message.replace(words, others)
        elif self.missing:
            here = f"there is no file {self.missing!r} here, and nothing lies at"
            message = message.replace("data.uri: nothing lies at", here)
        return message

    @contextmanager
    def in_its_words(self, options: Mapping[str, str] = NO_OPTIONS) -> Iterator[None]:
        """Name files, not objects, in errors about the data, and ``options``, not fields."""
        try:
            yield
        except InvalidDataError as error:
            message = self.worded(str(error))
            for field, option in options.items():
                message = message.replace(field, option)
            raise type(error)(message) from error


def local_place(path: Path) -> DataPlace:
    """Return the place of a file or folder of this machine."""
    whole = path.resolve()
    key = whole.name + ("/" if whole.is_dir() else "")
    uri = f"s3://{_HERE}/{key}"
    return DataPlace(str(path), uri, FolderFiles(whole.parent), is_local=True)


def bucket_place(connection: Connection, uri: str, own_bucket: str = "") -> DataPlace:
    """Return the place ``uri``, which names its bucket; ``own_bucket`` is that of the stack."""
    catalogue = BucketObjects(connection, bucket_and_key(uri)[0])
    return DataPlace(uri, uri, catalogue, own_bucket)

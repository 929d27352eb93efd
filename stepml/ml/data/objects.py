"""The object store as this package uses it, and the objects of a data set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

# `collections.abc.Buffer` comes with Python 3.12.
Buffer = bytes | bytearray | memoryview

REQUEST_BYTES = 8 * 2**20  # of one ranged request, unless the caller asks for less


@dataclass(frozen=True, slots=True)
class DataObject:
    """One object of a data set."""

    key: str  # in the bucket
    name: str  # relative to the data set's URI; it, not the key, goes into row ids
    value_bytes: int
    etag: str  # changes with the content


class ObjectReader(Protocol):
    """Reads objects; may be called from several threads at once."""

    def load_range(self, key: str, start: int, stop: int) -> bytes:
        """Return the bytes ``[start, stop)`` of an object, fewer if it ends before."""
        ...


class ObjectInfo(Protocol):
    """What an object store says about an object without reading it."""

    @property
    def key(self) -> str: ...
    @property
    def value_bytes(self) -> int: ...
    @property
    def etag(self) -> str: ...


class ObjectCatalogue(ObjectReader, Protocol):
    """Finds and reads objects."""

    def describe(self, key: str) -> ObjectInfo | None:
        """Return the description of one object, or None if it is absent."""
        ...

    def describe_many(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the description of each object whose key starts with ``prefix``, in key order."""
        ...


class ObjectWriter(Protocol):
    """Writes objects; a written one becomes visible whole or not at all."""

    def save(self, key: str, data: Buffer) -> None:
        """Write a whole object."""
        ...

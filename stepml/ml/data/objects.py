"""The interface of the object store, and the objects of a data set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

# `collections.abc.Buffer` comes with Python 3.12.
Buffer = bytes | bytearray | memoryview

REQUEST_BYTES = 8 * 2**20  # default size of a ranged request


@dataclass(frozen=True, slots=True)
class DataObject:
    """One object of a data set."""

    key: str  # in the bucket
    name: str  # relative to the data set's URI; row ids depend on it, not on the key
    value_bytes: int
    etag: str  # changes with the content


class ObjectReader(Protocol):
    """Reads objects; safe to call from several threads."""

    def load_range(self, key: str, start: int, stop: int) -> bytes:
        """Return the bytes ``[start, stop)`` of an object, fewer if it ends before."""
        ...


class ObjectInfo(Protocol):
    """The description of an object, without its content."""

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
    """Writes objects; each becomes visible whole or not at all."""

    def put(self, key: str, data: Buffer) -> ObjectInfo:
        """Write a whole object, and return its description."""
        ...

"""What this package needs of an object store, and how it names a data set's objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

# `collections.abc.Buffer` comes with Python 3.12.
Buffer = bytes | bytearray | memoryview


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


class ObjectWriter(Protocol):
    """Writes objects; a written one becomes visible whole or not at all."""

    def save(self, key: str, data: Buffer) -> None:
        """Write a whole object."""
        ...

"""One typed object in the durable store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from stepml.job import documents
from stepml.job.errors import DamagedValueError, KeyNotFoundError, StorageUnavailableError
from storage import DurableStorage
from storage.base import Buffer

T = TypeVar("T")

_MAX_CONFLICTS = 10  # other copies of the same writer


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """One object: its key, and how its value is encoded.

    Errors of all methods that return a value: `DamagedValueError`, naming the key.
    """

    storage: DurableStorage
    key: str
    encode: Callable[[T], Buffer]
    decode: Callable[[Buffer, str], T]  # takes the key for its error message

    def load(self) -> T:
        """Return the value, or raise `KeyNotFoundError`."""
        return self.decode(self.storage.load(self.key), self.key)

    def find(self) -> T | None:
        """Return the value, or None if there is none."""
        return self.read(self.storage.load_many([self.key]))

    def find_whole(self) -> T | None:
        """Return the value, or None if there is none or it is damaged."""
        return self.read_whole(self.storage.load_many([self.key]))

    def read(self, found: Mapping[str, Buffer]) -> T | None:
        """Return the value from ``found``, the result of loading several keys together."""
        return self.decode(found[self.key], self.key) if self.key in found else None

    def read_whole(self, found: Mapping[str, Buffer]) -> T | None:
        """Like `read`, but a damaged value counts as absent."""
        try:
            return self.read(found)
        except DamagedValueError:
            return None

    def exists(self) -> bool:
        """Return whether there is a value."""
        return bool(self.storage.find_many([self.key]))

    def publish(self, value: T) -> T:
        """Write ``value`` unless there is one already; return the value that is stored."""
        return self.decode(self.storage.publish(self.key, self.encode(value)), self.key)

    def save(self, value: T) -> None:
        """Write ``value`` over any earlier one."""
        self.storage.save(self.key, self.encode(value))

    def copy_to(self, other: Entry[T]) -> None:
        """Publish the same bytes in ``other``, unless they are damaged."""
        data = self.storage.load(self.key)
        self.decode(data, self.key)
        other.storage.publish(other.key, data)

    def replace(self, value: T, *, unless: Callable[[T], bool]) -> T:
        """Write ``value`` unless the stored one forbids it; return the value that is stored then.

        Parameters
        ----------
        value : T
        unless : callable
            Takes the stored value and returns whether it stays. Absent and damaged values are
            replaced.

        Raises
        ------
        StorageUnavailableError
            The value changes faster than it can be compared.
        """
        for _ in range(_MAX_CONFLICTS):
            stored, version = self.storage.load_version(self.key)
            earlier = None if stored is None else self.read_whole({self.key: stored})
            if earlier is not None and unless(earlier):
                return earlier
            stored = earlier = None  # before there is another value of its size
            if self.storage.compare_and_save(self.key, self.encode(value), version):
                return value
        raise StorageUnavailableError(f"{self.key} is replaced faster than it can be compared")

    def delete(self) -> None:
        """Delete the value, if there is one."""
        self.storage.delete(self.key)


def require_found(entries: Sequence[Entry[Any]], found: Mapping[str, Buffer]) -> None:
    """Raise `KeyNotFoundError` naming the first of ``entries`` that is not in ``found``."""
    if missing := [each.key for each in entries if each.key not in found]:
        raise KeyNotFoundError(f"nothing is stored under {missing[0]}")


def document(storage: DurableStorage, key: str, kind: type[T]) -> Entry[T]:
    """Return the entry of a JSON document with a checksum."""
    return Entry(storage, key, documents.encode, partial(_decoded, kind))


def _decoded(kind: type[T], data: Buffer, key: str) -> T:
    return documents.decode(data, kind, key)

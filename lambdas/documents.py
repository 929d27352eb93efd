"""JSON documents in the durable store, typed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from stepml.job.documents import decode, encode
from storage import DurableStorage

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Documents:
    """Reads and publishes documents; what is published once never changes."""

    storage: DurableStorage

    def load(self, key: str, kind: type[T]) -> T:
        """Return the document under ``key``, or raise `KeyNotFoundError`."""
        return decode(self.storage.load(key), kind, key)

    def find(self, key: str, kind: type[T]) -> T | None:
        """Return the document under ``key``, or None if there is none."""
        found = self.storage.load_many([key])
        return decode(found[key], kind, key) if key in found else None

    def publish(self, key: str, document: T) -> T:
        """Write ``document`` unless ``key`` has one, and return the one that counts: the first."""
        published = self.storage.publish(key, encode(document))
        return decode(published, type(document), key)

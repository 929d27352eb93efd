"""JSON documents in the durable store, typed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import msgspec

from stepml.job.errors import DamagedValueError
from storage import DurableStorage
from storage.base import Buffer

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
        published = self.storage.publish(key, msgspec.json.encode(document))
        return decode(published, type(document), key)


def decode(data: Buffer, kind: type[T], key: str) -> T:
    """Return the document in ``data``, or raise `DamagedValueError` naming ``key``."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DamagedValueError(f"{key}: {error}") from error

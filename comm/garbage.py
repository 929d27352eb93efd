"""Values that no rank needs any more, deleted in few requests."""

from __future__ import annotations

from collections.abc import Sequence

from storage import Storage

_MOST_KEYS = 64  # deleted together, when there are so many …
_MOST_BYTES = 32 * 2**20  # … or when they hold so much


class Garbage:
    """Keys to be deleted together."""

    def __init__(self, channel: Storage) -> None:
        self._channel = channel
        self._keys: list[str] = []
        self._value_bytes = 0

    def add(self, keys: Sequence[str], value_bytes: int = 0) -> None:
        """Note ``keys``, which hold about ``value_bytes``."""
        self._keys += keys
        self._value_bytes += value_bytes

    def flush_if_much(self) -> None:
        """Delete the noted keys if there are many, or if they hold much."""
        if len(self._keys) >= _MOST_KEYS or self._value_bytes >= _MOST_BYTES:
            self.flush()

    def flush(self) -> None:
        """Delete the noted keys."""
        if self._keys:
            self._channel.delete_many(self._keys)
        self._keys, self._value_bytes = [], 0

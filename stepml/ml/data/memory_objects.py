"""Objects in memory, for the pieces of data that this process alone reads."""

from __future__ import annotations

from stepml.ml.data.objects import Buffer, DataObject


class MemoryObjects:
    """Objects by their keys.

    Parameters
    ----------
    objects : dict of str to bytes, optional
        Those that are there already.
    """

    def __init__(self, objects: dict[str, bytes] | None = None) -> None:
        self.objects: dict[str, bytes] = objects or {}

    def put(self, key: str, data: Buffer) -> DataObject:
        """Write a whole object, and return its description."""
        self.objects[key] = bytes(data)
        return DataObject(key, key, len(data), "")

    def load(self, key: str) -> bytes:
        """Return a whole object."""
        return self.objects[key]

    def load_range(self, key: str, start: int, stop: int) -> bytes:
        """Return the bytes ``[start, stop)`` of an object, fewer if it ends before."""
        return self.objects[key][start:stop]

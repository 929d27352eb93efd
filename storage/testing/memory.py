"""A storage in this process: the reference of the contract."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence

import xxhash

from stepml.job.errors import KeyNotFoundError, ValueChangedError
from storage.base import Buffer, DurableStorage, ObjectInfo, Version


class MemoryStorage(DurableStorage):
    """A dictionary behind a lock."""

    looks_are_cheap = True
    poll_start_s = 0.0002
    poll_most_s = 0.005

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def save_many(self, values: Mapping[str, Buffer]) -> None:
        with self._lock:
            self._values |= {key: bytes(data) for key, data in values.items()}

    def load_many(self, keys: Sequence[str]) -> dict[str, Buffer]:
        with self._lock:
            return {key: self._values[key] for key in keys if key in self._values}

    def find_many(self, keys: Sequence[str]) -> set[str]:
        with self._lock:
            return {key for key in keys if key in self._values}

    def delete_many(self, keys: Sequence[str]) -> None:
        with self._lock:
            for key in keys:
                self._values.pop(key, None)

    def list(self, prefix: str) -> Iterator[str]:
        with self._lock:
            keys = [key for key in self._values if key.startswith(prefix)]
        return iter(keys)

    def publish_many(self, values: Mapping[str, Buffer]) -> dict[str, Buffer]:
        with self._lock:
            absent = {key: data for key, data in values.items() if key not in self._values}
            self._values |= {key: bytes(data) for key, data in absent.items()}
            return {key: absent.get(key, self._values[key]) for key in values}

    def load_version(self, key: str) -> tuple[Buffer | None, Version]:
        with self._lock:
            value = self._values.get(key)
        return value, _version(value)

    def compare_and_save(self, key: str, data: Buffer, version: Version) -> bool:
        with self._lock:
            if _version(self._values.get(key)) != version:
                return False
            self._values[key] = bytes(data)
            return True

    def load_range(self, key: str, start: int, stop: int, etag: str | None = None) -> bytes:
        with self._lock:
            value = self._values.get(key)
        if value is None:
            raise KeyNotFoundError(f"nothing is stored under {key}")
        if etag is not None and _digest(value) != etag:
            raise ValueChangedError(f"{key} was changed since it was described")
        return value[start:stop]

    def put(self, key: str, data: Buffer) -> ObjectInfo:
        self.save(key, data)
        return ObjectInfo(key, len(data), _digest(bytes(data)))

    def describe_many(self, prefix: str) -> Iterator[ObjectInfo]:
        for key in sorted(self.list(prefix)):
            info = self.describe(key)
            if info is not None:
                yield info

    def describe(self, key: str) -> ObjectInfo | None:
        with self._lock:
            value = self._values.get(key)
        return None if value is None else ObjectInfo(key, len(value), _digest(value))


def _version(value: bytes | None) -> Version:
    return Version(None if value is None else _digest(value))


def _digest(value: bytes) -> str:
    return xxhash.xxh3_128_hexdigest(value)

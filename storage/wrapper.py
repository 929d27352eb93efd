"""The base class of storages that wrap another storage."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from storage.base import Buffer, Clock, Storage, Version


class Wrapper(Storage):
    """Delegates every operation to ``inner``; subclasses override some."""

    def __init__(self, inner: Storage) -> None:
        self.inner = inner
        self.max_value_bytes = inner.max_value_bytes
        self.block_bytes = inner.block_bytes
        self.request_bytes = inner.request_bytes
        self.wakes_waiters = inner.wakes_waiters
        self.looks_are_cheap = inner.looks_are_cheap
        self.poll_start_s = inner.poll_start_s
        self.poll_most_s = inner.poll_most_s

    def save_many(self, values: Mapping[str, Buffer]) -> None:
        self.inner.save_many(values)

    def save(self, key: str, data: Buffer) -> None:
        self.inner.save(key, data)

    def load_many(self, keys: Sequence[str]) -> dict[str, Buffer]:
        return self.inner.load_many(keys)

    def load_into(self, targets: Mapping[str, memoryview]) -> set[str]:
        return self.inner.load_into(targets)

    def load_heads(self, keys: Sequence[str], n_bytes: int) -> dict[str, Buffer]:
        return self.inner.load_heads(keys, n_bytes)

    def find_many(self, keys: Sequence[str]) -> set[str]:
        return self.inner.find_many(keys)

    def delete_many(self, keys: Sequence[str]) -> None:
        self.inner.delete_many(keys)

    def list(self, prefix: str) -> Iterator[str]:
        return self.inner.list(prefix)

    def publish_many(self, values: Mapping[str, Buffer]) -> dict[str, Buffer]:
        return self.inner.publish_many(values)

    def load_version(self, key: str) -> tuple[Buffer | None, Version]:
        return self.inner.load_version(key)

    def compare_and_save(self, key: str, data: Buffer, version: Version) -> bool:
        return self.inner.compare_and_save(key, data, version)

    def clear(self, prefix: str) -> None:
        self.inner.clear(prefix)

    def close(self) -> None:
        self.inner.close()

    def wait_each(
        self,
        keys: Sequence[str],
        *,
        timeout_s: float,
        first_delay_s: float = 0.0,
        clock: Clock = time,
        watch: Callable[[], None] | None = None,
    ) -> Iterator[tuple[str, Buffer]]:
        # Without a service that wakes waiters, a wait polls through this wrapper's `load_many`.
        wait = self.inner.wait_each if self.wakes_waiters else super().wait_each
        return wait(
            keys, timeout_s=timeout_s, first_delay_s=first_delay_s, clock=clock, watch=watch
        )

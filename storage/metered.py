"""Counts what a storage is asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from storage.base import Buffer, Storage, Version
from storage.wrapper import Wrapper


class MeteredStorage(Wrapper):
    """Counts requests and bytes; each key of an operation counts as one request.

    Attributes
    ----------
    requests : Counter of str
        By operation. Looks of a service that wakes its waiters are not counted, their values are.
    sent_bytes, received_bytes : int
        Of values, without keys and protocol.
    """

    def __init__(self, inner: Storage) -> None:
        super().__init__(inner)
        self.requests: Counter[str] = Counter()
        self.sent_bytes = 0
        self.received_bytes = 0

    def save_many(self, values: Mapping[str, Buffer]) -> None:
        self._count_sent("save", values.values())
        self.inner.save_many(values)

    def save(self, key: str, data: Buffer) -> None:
        self._count_sent("save", [data])
        self.inner.save(key, data)

    def load_many(self, keys: Sequence[str]) -> dict[str, Buffer]:
        self.requests["load"] += len(keys)
        found = self.inner.load_many(keys)
        self.received_bytes += sum(map(len, found.values()))
        return found

    def load_into(self, targets: Mapping[str, memoryview]) -> set[str]:
        self.requests["load"] += len(targets)
        filled = self.inner.load_into(targets)
        self.received_bytes += sum(len(targets[key]) for key in filled)
        return filled

    def find_many(self, keys: Sequence[str]) -> set[str]:
        self.requests["find"] += len(keys)
        return self.inner.find_many(keys)

    def delete_many(self, keys: Sequence[str]) -> None:
        self.requests["delete"] += len(keys)
        self.inner.delete_many(keys)

    def list(self, prefix: str) -> Iterator[str]:
        self.requests["list"] += 1
        return self.inner.list(prefix)

    def publish_many(self, values: Mapping[str, Buffer]) -> dict[str, Buffer]:
        self._count_sent("publish", values.values())
        firsts = self.inner.publish_many(values)
        others = [first for key, first in firsts.items() if first is not values[key]]
        self.received_bytes += sum(map(len, others))
        return firsts

    def load_version(self, key: str) -> tuple[Buffer | None, Version]:
        self.requests["load"] += 1
        value, version = self.inner.load_version(key)
        self.received_bytes += 0 if value is None else len(value)
        return value, version

    def compare_and_save(self, key: str, data: Buffer, version: Version) -> bool:
        self._count_sent("compare_and_save", [data])
        return self.inner.compare_and_save(key, data, version)

    def wait_each(self, keys: Sequence[str], **settings: Any) -> Iterator[tuple[str, Buffer]]:
        for key, value in super().wait_each(keys, **settings):
            if self.wakes_waiters:
                self.requests["wait"] += 1
                self.received_bytes += len(value)
            yield key, value

    def _count_sent(self, operation: str, values: Collection[Buffer]) -> None:
        self.requests[operation] += len(values)
        self.sent_bytes += sum(map(len, values))

"""Counts the requests to a storage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from stepml.job.parts import Traffic
from stepml.job.prices import Tariff
from storage.base import Buffer, DurableStorage, ObjectInfo, Storage, Version
from storage.wrapper import Wrapper

KEYS_A_LIST = 1000  # in one answer of S3


class MeteredStorage(Wrapper):
    """Counts requests and bytes; each key of an operation counts as one request.

    Attributes
    ----------
    requests : Counter of str
        By operation. A list is one request for each 1,000 keys. If the service wakes waiters, a
        wait counts one request for each value.
    sent_bytes, received_bytes : int
        Of values, without keys and protocol.
    late_publishes : int
        Values whose key already had one; S3 needs another request to load that.
    """

    def __init__(self, inner: Storage) -> None:
        super().__init__(inner)
        self.requests: Counter[str] = Counter()
        self.sent_bytes = 0
        self.received_bytes = 0
        self.late_publishes = 0

    @property
    def traffic(self) -> Traffic:
        """All requests so far."""
        requests = self.requests.total() + self.late_publishes
        return Traffic(requests, self.sent_bytes, self.received_bytes)

    def save_many(self, values: Mapping[str, Buffer]) -> None:
        self._count_sent("save", values)
        self.inner.save_many(values)

    def save(self, key: str, data: Buffer) -> None:
        self._count_sent("save", {key: data})
        self.inner.save(key, data)

    def load_many(self, keys: Sequence[str]) -> dict[str, Buffer]:
        found = self.inner.load_many(keys)
        self._count_loaded(keys, found)
        return found

    def load_into(self, targets: Mapping[str, memoryview]) -> set[str]:
        filled = self.inner.load_into(targets)
        self._count_loaded(targets, {key: targets[key] for key in filled})
        return filled

    def load_heads(self, keys: Sequence[str], n_bytes: int) -> dict[str, Buffer]:
        return Storage.load_heads(self, keys, n_bytes)  # services that charge send whole values

    def find_many(self, keys: Sequence[str]) -> set[str]:
        self.requests["find"] += len(keys)
        return self.inner.find_many(keys)

    def delete_many(self, keys: Sequence[str]) -> None:
        self.requests["delete"] += len(keys)
        self.inner.delete_many(keys)

    def list(self, prefix: str) -> Iterator[str]:
        return self._counted(self.inner.list(prefix))

    def publish_many(self, values: Mapping[str, Buffer]) -> dict[str, Buffer]:
        self._count_sent("publish", values)
        firsts = self.inner.publish_many(values)
        others = [first for key, first in firsts.items() if first is not values[key]]
        self.late_publishes += len(others)
        self.received_bytes += sum(map(len, others))
        return firsts

    def load_version(self, key: str) -> tuple[Buffer | None, Version]:
        value, version = self.inner.load_version(key)
        self._count_loaded([key], {} if value is None else {key: value})
        return value, version

    def compare_and_save(self, key: str, data: Buffer, version: Version) -> bool:
        self._count_sent("compare_and_save", {key: data})
        return self.inner.compare_and_save(key, data, version)

    def clear(self, prefix: str) -> None:
        self.requests["list"] += 1
        self.inner.clear(prefix)

    def wait_each(self, keys: Sequence[str], **settings: Any) -> Iterator[tuple[str, Buffer]]:
        for key, value in super().wait_each(keys, **settings):
            if self.wakes_waiters:
                self.requests["wait"] += 1
                self.received_bytes += len(value)
            yield key, value

    def _count_sent(self, operation: str, values: Mapping[str, Buffer]) -> None:
        self.requests[operation] += len(values)
        self.sent_bytes += sum(map(len, values.values()))

    def _count_loaded(self, asked: Collection[str], found: Mapping[str, Buffer]) -> None:
        self.requests["load"] += len(asked)
        self.received_bytes += sum(map(len, found.values()))

    def _counted(self, listed: Iterator[Any]) -> Iterator[Any]:
        self.requests["list"] += 1
        for number, each in enumerate(listed):
            if number and number % KEYS_A_LIST == 0:
                self.requests["list"] += 1
            yield each


class MeteredChannel(MeteredStorage):
    """Counts the units of a tariff as well.

    Parameters
    ----------
    inner : Storage
    tariff : Tariff, optional
        The prices of the service; None: its requests are free.

    Attributes
    ----------
    written_units : Counter of str
        By operation.
    read_units : int
    """

    def __init__(self, inner: Storage, tariff: Tariff | None) -> None:
        super().__init__(inner)
        self.tariff = tariff
        self.written_units: Counter[str] = Counter()
        self.read_units = 0

    def load_heads(self, keys: Sequence[str], n_bytes: int) -> dict[str, Buffer]:
        if self.tariff is not None:
            return super().load_heads(keys, n_bytes)
        found = self.inner.load_heads(keys, n_bytes)
        self._count_loaded(keys, found)
        return found

    def find_many(self, keys: Sequence[str]) -> set[str]:
        self.read_units += len(keys)  # a lower bound, as the sizes are unknown
        return super().find_many(keys)

    def _count_sent(self, operation: str, values: Mapping[str, Buffer]) -> None:
        super()._count_sent(operation, values)
        if self.tariff is not None:
            written = _units(self.tariff, self.tariff.write_units, values)
            self.written_units[operation] += written

    def _count_loaded(self, asked: Collection[str], found: Mapping[str, Buffer]) -> None:
        super()._count_loaded(asked, found)
        if self.tariff is not None:
            read = _units(self.tariff, self.tariff.read_units, found)
            self.read_units += len(asked) - len(found) + read


class MeteredDurableStorage(MeteredStorage, DurableStorage):
    """Counts the requests to a durable storage; a description counts as a find."""

    inner: DurableStorage

    def __init__(self, inner: DurableStorage) -> None:
        super().__init__(inner)

    def load_range(self, key: str, start: int, stop: int, etag: str | None = None) -> bytes:
        data = self.inner.load_range(key, start, stop, etag)
        self._count_loaded([key], {key: data})
        return data

    def load_buffer(self, key: str) -> bytearray:
        data = self.inner.load_buffer(key)
        self._count_loaded([key], {key: data})
        return data

    def put(self, key: str, data: Buffer) -> ObjectInfo:
        self._count_sent("save", {key: data})
        return self.inner.put(key, data)

    def describe_many(self, prefix: str) -> Iterator[ObjectInfo]:
        return self._counted(self.inner.describe_many(prefix))

    def describe(self, key: str) -> ObjectInfo | None:
        self.requests["find"] += 1
        return self.inner.describe(key)


def _units(tariff: Tariff, units: Callable[[int], int], values: Mapping[str, Buffer]) -> int:
    overhead = tariff.overhead_bytes
    return sum(units(len(key) + len(value) + overhead) for key, value in values.items())

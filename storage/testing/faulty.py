"""Injects faults that a service shows once in a million calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from stepml.job.errors import StorageUnavailableError
from storage.base import Buffer, Storage, Version
from storage.wrapper import Wrapper

T = TypeVar("T")
Positions = Mapping[str, Sequence[int]]


class FaultyStorage(Wrapper):
    """Fails chosen calls of a storage.

    Parameters
    ----------
    inner : Storage
    fail : mapping of operation to positions, optional
        ``{"publish_many": [0]}``: the first call raises `StorageUnavailableError` without effect.
    lose_answer : mapping of operation to positions, optional
        These calls take effect and then raise `StorageUnavailableError`.
    """

    def __init__(
        self, inner: Storage, *, fail: Positions | None = None, lose_answer: Positions | None = None
    ) -> None:
        super().__init__(inner)
        self._fail = fail or {}
        self._lose_answer = lose_answer or {}
        self.calls: Counter[str] = Counter()

    def save_many(self, values: Mapping[str, Buffer]) -> None:
        self._call("save_many", lambda: self.inner.save_many(values))

    def save(self, key: str, data: Buffer) -> None:
        self._call("save", lambda: self.inner.save(key, data))

    def load_many(self, keys: Sequence[str]) -> dict[str, Buffer]:
        return self._call("load_many", lambda: self.inner.load_many(keys))

    def load_into(self, targets: Mapping[str, memoryview]) -> set[str]:
        return self._call("load_into", lambda: self.inner.load_into(targets))

    def find_many(self, keys: Sequence[str]) -> set[str]:
        return self._call("find_many", lambda: self.inner.find_many(keys))

    def delete_many(self, keys: Sequence[str]) -> None:
        self._call("delete_many", lambda: self.inner.delete_many(keys))

    def publish_many(self, values: Mapping[str, Buffer]) -> dict[str, Buffer]:
        return self._call("publish_many", lambda: self.inner.publish_many(values))

    def load_version(self, key: str) -> tuple[Buffer | None, Version]:
        return self._call("load_version", lambda: self.inner.load_version(key))

    def compare_and_save(self, key: str, data: Buffer, version: Version) -> bool:
        return self._call(
            "compare_and_save", lambda: self.inner.compare_and_save(key, data, version)
        )

    def _call(self, operation: str, call: Callable[[], T]) -> T:
        position = self.calls[operation]
        self.calls[operation] += 1
        if position in self._fail.get(operation, ()):
            raise StorageUnavailableError(f"call {position} of {operation} was made to fail")
        result = call()
        if position in self._lose_answer.get(operation, ()):
            raise StorageUnavailableError(f"the answer to call {position} of {operation} was lost")
        return result

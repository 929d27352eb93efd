"""The contract of all storages; ``tests/contracts/test_storage.py`` holds every backend to it."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from stepml.job.errors import KeyNotFoundError, WaitTimeoutError

Buffer = bytes | bytearray | memoryview


class Clock(Protocol):
    """Where time comes from: the `time` module, or a frozen clock in tests."""

    def monotonic(self) -> float: ...
    def sleep(self, seconds: float, /) -> None: ...


@dataclass(frozen=True, slots=True)
class Version:
    """A state of one value; ``None`` as a token stands for "absent"."""

    token: str | None


ABSENT = Version(None)


class Storage(ABC):
    """A flat map from keys to bytes, shared by all workers of a job.

    All operations are idempotent, so a retried function may repeat them, and a value becomes
    visible whole or not at all. A service that fails or refuses for now raises
    `StorageUnavailableError`.
    """

    max_value_bytes: int | None = None  # None: no limit that a job could reach

    @abstractmethod
    def save(self, key: str, data: Buffer) -> None:
        """Store ``data`` under ``key``, replacing what is there."""

    @abstractmethod
    def load_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Return the values of those ``keys`` that exist; absent ones are left out."""

    @abstractmethod
    def delete_many(self, keys: Sequence[str]) -> None:
        """Delete the values of ``keys``; absent ones are no error."""

    @abstractmethod
    def list(self, prefix: str) -> Iterator[str]:
        """Yield every key that starts with ``prefix``, in no order that can be relied on."""

    @abstractmethod
    def publish(self, key: str, data: Buffer) -> bytes:
        """Store ``data`` under ``key`` unless it has a value, and return the value it has now.

        Whoever comes second gets the first value back.
        """

    @abstractmethod
    def load_version(self, key: str) -> tuple[bytes | None, Version]:
        """Return the value of ``key`` (None if absent) and its version."""

    @abstractmethod
    def compare_and_save(self, key: str, data: Buffer, version: Version) -> bool:
        """Store ``data`` if ``key`` is still at ``version``; return whether it was."""

    def load(self, key: str) -> bytes:
        """Return the value of ``key``, or raise `KeyNotFoundError`."""
        found = self.load_many([key])
        if key not in found:
            raise KeyNotFoundError(f"nothing is stored under {key}")
        return found[key]

    def delete(self, key: str) -> None:
        """Delete the value of ``key``, if any."""
        self.delete_many([key])

    def clear(self, prefix: str) -> None:
        """Delete every key that starts with ``prefix``; never more than that.

        Raises
        ------
        ValueError
            ``prefix`` is empty: that would be the whole store, which may be shared.
        """
        if not prefix:
            raise ValueError("clear: expected a prefix of at least one character, got ''")
        self.delete_many(list(self.list(prefix)))

    def wait_many(
        self,
        keys: Sequence[str],
        *,
        timeout_s: float,
        first_delay_s: float = 0.0,
        clock: Clock = time,
        watch: Callable[[], None] | None = None,
    ) -> dict[str, bytes]:
        """Block until every key exists and return their values; only absent ones are asked again.

        Parameters
        ----------
        keys : sequence of str
        timeout_s : float
            Seconds after which `WaitTimeoutError` names the keys still missing.
        first_delay_s : float, default 0
            Seconds before the first look: about as long as the last such wait took.
        clock : Clock
        watch : callable, optional
            Called before each look; raises to end the wait.
        """
        deadline = clock.monotonic() + timeout_s
        found: dict[str, bytes] = {}
        delays = backoff(first_delay_s)
        while True:
            if watch is not None:
                watch()
            found |= self.load_many([key for key in keys if key not in found])
            missing = [key for key in keys if key not in found]
            remaining_s = deadline - clock.monotonic()
            if not missing:
                return {key: found[key] for key in keys}
            if remaining_s <= 0:
                raise WaitTimeoutError(missing, timeout_s)
            clock.sleep(min(next(delays), remaining_s))


class DurableStorage(Storage):
    """A storage that loses nothing and reads parts of values: data, states and reports."""

    @abstractmethod
    def load_range(self, key: str, start: int, stop: int, etag: str | None = None) -> bytes:
        """Return the bytes ``start`` to ``stop`` of a value, cut at its end.

        Raises
        ------
        KeyNotFoundError
            The key is absent.
        ValueChangedError
            The value is not the one that was described with ``etag``.
        """

    @abstractmethod
    def describe_many(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield what is known of each key that starts with ``prefix``, in order of keys."""

    @abstractmethod
    def describe(self, key: str) -> ObjectInfo | None:
        """Return what is known of one key, or None if it is absent."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What is known of a stored value without reading it."""

    key: str
    value_bytes: int
    etag: str  # changes whenever the value does


def backoff(first_s: float = 0.0, start_s: float = 0.005, most_s: float = 1.0) -> Iterator[float]:
    """Yield delays in seconds: the expected wait first, then from ``start_s`` ever longer."""
    if first_s > 0:
        yield first_s
    delay_s = start_s
    while True:
        yield delay_s
        delay_s = min(delay_s * 1.5, most_s)

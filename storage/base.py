"""The contract of all storages; ``tests/contracts/storage/`` holds every backend to it."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from stepml.job.errors import KeyNotFoundError, WaitTimeoutError

Buffer = bytes | bytearray | memoryview
CA_FILE_VARIABLE = "STEPML_CA_FILE"  # certificates (PEM) to trust instead of the system's


class Clock(Protocol):
    """A clock: the `time` module, or a frozen one in tests."""

    def monotonic(self) -> float: ...
    def sleep(self, seconds: float, /) -> None: ...


@dataclass(frozen=True, slots=True)
class Version:
    """A state of one value; the token ``None`` means that the key is absent."""

    token: str | None


ABSENT = Version(None)


class Storage(ABC):
    """A flat map from keys to bytes, shared by all workers of a job.

    All operations are idempotent, so a retried function may repeat them. A value becomes visible
    whole or not at all. A service that fails, or refuses a request for now, raises
    `StorageUnavailableError`.

    A key is 1 to 200 printable ASCII characters without spaces, braces and ``#``. Callers must not
    change a returned value.
    """

    max_value_bytes: int | None = None  # None: no practical limit; larger values must be cut
    block_bytes: int | None = None  # larger values travel faster in blocks of this size
    request_bytes: int = 2**16  # transferring these takes about as long as an empty request
    wakes_waiters: bool = False  # the service ends a wait; otherwise waiters poll
    looks_are_cheap: bool = False  # a waiter may look at once, even if that is probably too early
    poll_start_s: float = 0.005  # before a waiter's second look; the delays grow from here …
    poll_most_s: float = 1.0  # … to here

    @abstractmethod
    def save_many(self, values: Mapping[str, Buffer]) -> None:
        """Store each value under its key, replacing what is there, in few round trips.

        Waiters see the values at their next look; `save` and `publish` wake them.
        """

    @abstractmethod
    def load_many(self, keys: Sequence[str]) -> dict[str, Buffer]:
        """Return the values of those ``keys`` that exist."""

    @abstractmethod
    def find_many(self, keys: Sequence[str]) -> set[str]:
        """Return those ``keys`` that exist, without transferring values."""

    @abstractmethod
    def delete_many(self, keys: Sequence[str]) -> None:
        """Delete the values of ``keys``; absent keys are ignored."""

    @abstractmethod
    def list(self, prefix: str) -> Iterator[str]:
        """Yield every key that starts with ``prefix``, in any order.

        Some services scan all their keys for this, so it must not be called in a training step.
        """

    @abstractmethod
    def publish_many(self, values: Mapping[str, Buffer]) -> dict[str, Buffer]:
        """Store each value unless its key already has one; return the value of each key.

        The first writer gets its own object back, later ones the first writer's value.
        """

    @abstractmethod
    def load_version(self, key: str) -> tuple[Buffer | None, Version]:
        """Return the value of ``key`` (None if absent) and its version."""

    @abstractmethod
    def compare_and_save(self, key: str, data: Buffer, version: Version) -> bool:
        """Store ``data`` if ``key`` is still at ``version``; return whether it was.

        This operation alone is not idempotent: after a call without an answer, only the stored
        value shows whether the call took effect.
        """

    def publish(self, key: str, data: Buffer) -> Buffer:
        """Store ``data`` under ``key`` unless it has a value; return the value of ``key``."""
        return self.publish_many({key: data})[key]

    def save(self, key: str, data: Buffer) -> None:
        """Store ``data`` under ``key``, replacing what is there."""
        self.save_many({key: data})

    def load(self, key: str) -> Buffer:
        """Return the value of ``key``, or raise `KeyNotFoundError`."""
        found = self.load_many([key])
        if key not in found:
            raise KeyNotFoundError(f"nothing is stored under {key}")
        return found[key]

    def load_into(self, targets: Mapping[str, memoryview]) -> set[str]:
        """Load each key's value into its buffer; return the keys whose value filled it exactly."""
        filled = set()
        for key, value in self.load_many([*targets]).items():
            if len(value) == len(targets[key]):
                targets[key][:] = value
                filled.add(key)
        return filled

    def load_heads(self, keys: Sequence[str], n_bytes: int) -> dict[str, Buffer]:
        """Return the first ``n_bytes`` of the values of ``keys`` that are not empty.

        Subclasses may leave the rest of them at the service.
        """
        found = self.load_many(keys)
        return {key: memoryview(value)[:n_bytes] for key, value in found.items() if len(value)}

    def delete(self, key: str) -> None:
        """Delete the value of ``key``, if any."""
        self.delete_many([key])

    def clear(self, prefix: str) -> None:
        """Delete every key that starts with ``prefix``.

        Raises
        ------
        ValueError
            ``prefix`` is empty, which would delete the whole store.
        """
        if not prefix:
            raise ValueError("clear: expected a prefix of at least one character, got ''")
        self.delete_many([*self.list(prefix)])

    def close(self) -> None:  # noqa: B027 — most services need nothing
        """Release the connections; the storage cannot be used afterwards."""

    def require_size(self, *values: Buffer) -> None:
        """Check that the service can store ``values``.

        Raises
        ------
        ValueError
            One has more than ``max_value_bytes``.
        """
        for value in values:
            if self.max_value_bytes is not None and len(value) > self.max_value_bytes:
                raise ValueError(
                    f"{type(self).__name__} stores values of at most {self.max_value_bytes} bytes, "
                    f"got {len(value)}"
                )

    def wait_each(
        self,
        keys: Sequence[str],
        *,
        timeout_s: float,
        first_delay_s: float = 0.0,
        clock: Clock = time,
        watch: Callable[[], None] | None = None,
    ) -> Iterator[tuple[str, Buffer]]:
        """Yield each key and its value in the order of ``keys``, as soon as it exists.

        Only absent keys are requested again.

        Parameters
        ----------
        keys : sequence of str
        timeout_s : float
            Seconds after which `WaitTimeoutError` names the keys still missing.
        first_delay_s : float, default 0
            Seconds before the first look, unless looks are cheap: about the time that the last
            such wait took.
        clock : Clock
        watch : callable, optional
            Called before each look, and about once a second; raises to end the wait.
        """
        deadline = clock.monotonic() + timeout_s
        delays = backoff(self.poll_start_s, self.poll_most_s)
        if not self.looks_are_cheap:
            clock.sleep(min(first_delay_s, timeout_s, self.poll_most_s))
        missing = [*dict.fromkeys(keys)]
        found: dict[str, Buffer] = {}
        while missing:
            if watch is not None:
                watch()
            found |= self.load_many([key for key in missing if key not in found])
            while missing and missing[0] in found:
                key = missing.pop(0)
                yield key, found.pop(key)
            remaining_s = deadline - clock.monotonic()
            absent = [key for key in missing if key not in found]
            if absent and remaining_s <= 0:
                raise WaitTimeoutError(absent, timeout_s)
            if absent:
                clock.sleep(min(next(delays), remaining_s))

    def wait_many(
        self,
        keys: Sequence[str],
        *,
        timeout_s: float,
        first_delay_s: float = 0.0,
        clock: Clock = time,
        watch: Callable[[], None] | None = None,
    ) -> dict[str, Buffer]:
        """Block until every key exists and return their values; parameters as for `wait_each`."""
        return dict(
            self.wait_each(
                keys, timeout_s=timeout_s, first_delay_s=first_delay_s, clock=clock, watch=watch
            )
        )


class DurableStorage(Storage):
    """A storage that loses nothing and can read parts of values: data, states and reports."""

    @abstractmethod
    def load_range(self, key: str, start: int, stop: int, etag: str | None = None) -> bytes:
        """Return the bytes ``start`` to ``stop`` of a value, fewer if it ends before.

        Raises
        ------
        KeyNotFoundError
            The key is absent.
        ValueChangedError
            The value has changed since it had ``etag``.
        """

    @abstractmethod
    def put(self, key: str, data: Buffer) -> ObjectInfo:
        """Store ``data`` as `save` does, and return its description."""

    def load_buffer(self, key: str) -> bytearray:
        """Return the value of ``key`` in a new buffer, which the caller may change.

        Subclasses may fill it without a second copy in memory.

        Raises
        ------
        KeyNotFoundError
            The key is absent.
        """
        return bytearray(self.load(key))

    @abstractmethod
    def describe_many(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the description of each key that starts with ``prefix``, in the order of keys."""

    @abstractmethod
    def describe(self, key: str) -> ObjectInfo | None:
        """Return the description of one key, or None if it is absent."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """Description of a stored value, available without reading it."""

    key: str
    value_bytes: int
    etag: str  # changes whenever the value does


def backoff(start_s: float = 0.005, most_s: float = 1.0) -> Iterator[float]:
    """Yield ever longer delays in seconds."""
    delay_s = start_s
    while True:
        yield delay_s
        delay_s = min(delay_s * 1.5, most_s)

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

    A key is 1 to 200 printable ASCII characters without spaces, braces and ``#``. A value that is
    returned must not be changed.
    """

    max_value_bytes: int | None = None  # larger values have to be cut; None: no limit to speak of
    block_bytes: int | None = None  # larger values travel better in blocks of this size
    request_bytes: int = 2**16  # moving so much takes about as long as a request by itself
    wakes_waiters: bool = False  # the service ends a wait; otherwise waiters look again and again
    looks_are_cheap: bool = False  # so the first need not wait for a moment that may be too late
    poll_start_s: float = 0.005  # a waiter's second look; the delays grow from here …
    poll_most_s: float = 1.0  # … to here

    @abstractmethod
    def save_many(self, values: Mapping[str, Buffer]) -> None:
        """Store each value under its key, replacing what is there, in few round trips.

        Waiters see the values at their next look; `save` and `publish` wake them.
        """

    @abstractmethod
    def load_many(self, keys: Sequence[str]) -> dict[str, Buffer]:
        """Return the values of those ``keys`` that exist; absent ones are left out."""

    @abstractmethod
    def find_many(self, keys: Sequence[str]) -> set[str]:
        """Return those ``keys`` that exist; no value travels."""

    @abstractmethod
    def delete_many(self, keys: Sequence[str]) -> None:
        """Delete the values of ``keys``; absent ones are no error."""

    @abstractmethod
    def list(self, prefix: str) -> Iterator[str]:
        """Yield every key that starts with ``prefix``, in no order that can be relied on.

        Some services have to walk through all that they hold: nothing on the way of a step lists.
        """

    @abstractmethod
    def publish_many(self, values: Mapping[str, Buffer]) -> dict[str, Buffer]:
        """Store each value under its key unless that has one, and return what each has now.

        Whoever comes second gets the first value back; who came first, its own, the same object.
        """

    @abstractmethod
    def load_version(self, key: str) -> tuple[Buffer | None, Version]:
        """Return the value of ``key`` (None if absent) and its version."""

    @abstractmethod
    def compare_and_save(self, key: str, data: Buffer, version: Version) -> bool:
        """Store ``data`` if ``key`` is still at ``version``; return whether it was.

        The one operation that is not idempotent: whether a call without an answer counted has to
        be seen in the value.
        """

    def publish(self, key: str, data: Buffer) -> Buffer:
        """Store ``data`` under ``key`` unless it has a value, and return the value it has now."""
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
        self.delete_many([*self.list(prefix)])

    def close(self) -> None:  # noqa: B027 — most services need nothing
        """Release the connections; the storage is not used afterwards."""

    def wait_each(
        self,
        keys: Sequence[str],
        *,
        timeout_s: float,
        first_delay_s: float = 0.0,
        clock: Clock = time,
        watch: Callable[[], None] | None = None,
    ) -> Iterator[tuple[str, Buffer]]:
        """Yield each key and its value in the order of ``keys``, as soon as it is there.

        Only absent keys are asked for again.

        Parameters
        ----------
        keys : sequence of str
        timeout_s : float
            Seconds after which `WaitTimeoutError` names the keys still missing.
        first_delay_s : float, default 0
            Seconds before the first look, unless looks are cheap: about as long as the last such
            wait looked in vain.
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

    def load_buffer(self, key: str) -> bytearray:
        """Return the value of ``key`` in a buffer of the caller's own, which may be changed.

        Services that can, fill it without holding the value twice.

        Raises
        ------
        KeyNotFoundError
            The key is absent.
        """
        return bytearray(self.load(key))

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


def backoff(start_s: float = 0.005, most_s: float = 1.0) -> Iterator[float]:
    """Yield ever longer delays in seconds."""
    delay_s = start_s
    while True:
        yield delay_s
        delay_s = min(delay_s * 1.5, most_s)

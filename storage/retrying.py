"""Repeats operations that a service refuses for now."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from stepml.job.errors import StorageUnavailableError
from storage.base import Buffer, Clock, Storage, Version
from storage.wrapper import Wrapper

T = TypeVar("T")

ATTEMPTS = 6  # over about 8 s; the retries of the Task in Step Functions outlast a fail-over
FIRST_DELAY_S = 0.1
MOST_DELAY_S = 5.0


class RetryingStorage(Wrapper):
    """Repeats an operation after `StorageUnavailableError`, with growing, jittered delays.

    Two operations are not repeated: a second `compare_and_save` could not distinguish its own
    earlier success from another writer's, and a second `list` would yield keys twice.

    Parameters
    ----------
    inner : Storage
    clock : Clock
    """

    def __init__(self, inner: Storage, clock: Clock = time) -> None:
        super().__init__(inner)
        self._clock = clock

    def save_many(self, values: Mapping[str, Buffer]) -> None:
        self._repeat(lambda: self.inner.save_many(values))

    def save(self, key: str, data: Buffer) -> None:
        self._repeat(lambda: self.inner.save(key, data))

    def load_many(self, keys: Sequence[str]) -> dict[str, Buffer]:
        return self._repeat(lambda: self.inner.load_many(keys))

    def load_into(self, targets: Mapping[str, memoryview]) -> set[str]:
        return self._repeat(lambda: self.inner.load_into(targets))

    def load_heads(self, keys: Sequence[str], n_bytes: int) -> dict[str, Buffer]:
        return self._repeat(lambda: self.inner.load_heads(keys, n_bytes))

    def find_many(self, keys: Sequence[str]) -> set[str]:
        return self._repeat(lambda: self.inner.find_many(keys))

    def delete_many(self, keys: Sequence[str]) -> None:
        self._repeat(lambda: self.inner.delete_many(keys))

    def publish_many(self, values: Mapping[str, Buffer]) -> dict[str, Buffer]:
        return self._repeat(lambda: self.inner.publish_many(values))

    def load_version(self, key: str) -> tuple[Buffer | None, Version]:
        return self._repeat(lambda: self.inner.load_version(key))

    def wait_each(
        self,
        keys: Sequence[str],
        *,
        timeout_s: float,
        first_delay_s: float = 0.0,
        clock: Clock = time,
        watch: Callable[[], None] | None = None,
    ) -> Iterator[tuple[str, Buffer]]:
        deadline = clock.monotonic() + timeout_s
        missing = [*dict.fromkeys(keys)]
        delays = _delays()
        while missing:
            remaining_s = max(0.0, deadline - clock.monotonic())
            try:
                for key, value in super().wait_each(
                    missing,
                    timeout_s=remaining_s,
                    first_delay_s=first_delay_s,
                    clock=clock,
                    watch=watch,
                ):
                    missing, delays = missing[1:], _delays()
                    yield key, value
            except StorageUnavailableError:
                delay_s = next(delays, None)
                if delay_s is None:
                    raise
                clock.sleep(delay_s)

    def _repeat(self, call: Callable[[], T]) -> T:
        for delay_s in _delays():
            try:
                return call()
            except StorageUnavailableError:
                self._clock.sleep(delay_s)
        return call()


def _delays() -> Iterator[float]:
    delay_s = FIRST_DELAY_S
    for _ in range(ATTEMPTS - 1):
        # Jitter: workers that were refused together should not return together.
        yield delay_s * random.uniform(0.5, 1.0)  # noqa: S311
        delay_s = min(3 * delay_s, MOST_DELAY_S)

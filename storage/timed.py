"""A channel whose time counts: requests as transfers, and waits for other workers as waits."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any, cast

from stepml.job.stopwatch import timed
from storage.base import Buffer, Storage, Version
from storage.wrapper import Wrapper


class TimedStorage(Wrapper):
    """Counts the time of a storage for the stopwatch of the function.

    A look of a wait that finds nothing is part of the wait. A wait that the service ends takes a
    round trip even if the value is there: the shortest one of a publication counts as transfer.
    """

    def __init__(self, inner: Storage) -> None:
        super().__init__(inner)
        self._round_trip_s = float("inf")

    def save_many(self, values: Mapping[str, Buffer]) -> None:
        with timed("transfer"):
            self.inner.save_many(values)

    def save(self, key: str, data: Buffer) -> None:
        with timed("transfer"):
            self.inner.save(key, data)

    def load_many(self, keys: Sequence[str]) -> dict[str, Buffer]:
        with timed("transfer") as block:
            found = self.inner.load_many(keys)
            if not found and block.before == "wait" and block.stopwatch is not None:
                block.stopwatch.recount("wait")
        return found

    def load_into(self, targets: Mapping[str, memoryview]) -> set[str]:
        with timed("transfer"):
            return self.inner.load_into(targets)

    def load_heads(self, keys: Sequence[str], n_bytes: int) -> dict[str, Buffer]:
        with timed("transfer"):
            return self.inner.load_heads(keys, n_bytes)

    def find_many(self, keys: Sequence[str]) -> set[str]:
        with timed("transfer"):
            return self.inner.find_many(keys)

    def delete_many(self, keys: Sequence[str]) -> None:
        with timed("transfer"):
            self.inner.delete_many(keys)

    def publish_many(self, values: Mapping[str, Buffer]) -> dict[str, Buffer]:
        with timed("transfer") as block:
            before_s = block.seconds
            firsts = self.inner.publish_many(values)
        self._round_trip_s = min(self._round_trip_s, block.seconds - before_s)
        return firsts

    def load_version(self, key: str) -> tuple[Buffer | None, Version]:
        with timed("transfer"):
            return self.inner.load_version(key)

    def compare_and_save(self, key: str, data: Buffer, version: Version) -> bool:
        with timed("transfer"):
            return self.inner.compare_and_save(key, data, version)

    def clear(self, prefix: str) -> None:
        with timed("transfer"):
            self.inner.clear(prefix)

    def wait_each(self, keys: Sequence[str], **settings: Any) -> Iterator[tuple[str, Buffer]]:
        is_first = self.wakes_waiters
        waits = cast("Generator[tuple[str, Buffer]]", super().wait_each(keys, **settings))
        with closing(waits) as waiting:
            while True:
                with timed("wait") as block:
                    found = next(waiting, None)
                if found is None:
                    return
                if is_first and block.stopwatch is not None and self._round_trip_s < float("inf"):
                    block.stopwatch.move(self._round_trip_s, "wait", "transfer")
                is_first = False
                yield found

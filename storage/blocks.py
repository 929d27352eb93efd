"""Values larger than a service takes, or moves well, in blocks.

The blocks of a value lie under ``<key>#<token>/<number>``, with a token of their own for every
write, and under ``<key>`` a manifest says which they are. It is written last, so the value becomes
visible whole or not at all, and writers at the same time never mix their blocks.
"""

from __future__ import annotations

import secrets
import struct
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np

from stepml.job.errors import StorageUnavailableError, WaitTimeoutError
from storage.base import Buffer, Clock, Storage, Version
from storage.wrapper import Wrapper

# A value that begins like this is itself stored in blocks: nothing is taken for what it is not.
_MAGIC = bytes.fromhex("b10c5a9be3f24d0e8c61d7a4f3920b57")
_LAYOUT = struct.Struct("<16s8sQI")  # magic, token, bytes of the value, number of blocks
_MOST_TRIES = 10  # while others replace the value under our hands
_REMEMBERED = 4096
_LOST_BLOCK_DELAY_S = 0.02
_DELETED_AT_ONCE = 64  # values not known here are read: at most a block each


@dataclass(frozen=True, slots=True)
class Manifest:
    """Which blocks a value consists of."""

    token: bytes  # of one write
    value_bytes: int
    n_blocks: int

    @classmethod
    def plan(cls, value_bytes: int, block_bytes: int) -> Manifest:
        """Return a new manifest with blocks of equal size (the last ones may be a byte less)."""
        n_blocks = max(1, -(-value_bytes // block_bytes))
        return cls(secrets.token_bytes(8), value_bytes, n_blocks)

    @classmethod
    def parse(cls, data: Buffer) -> Manifest | None:
        """Return the manifest that ``data`` is, or None if it is a value."""
        if len(data) != _LAYOUT.size or bytes(data[: len(_MAGIC)]) != _MAGIC:
            return None
        return cls(*_LAYOUT.unpack(data)[1:])

    def pack(self) -> bytes:
        return _LAYOUT.pack(_MAGIC, self.token, self.value_bytes, self.n_blocks)

    def cut(self, key: str, value: memoryview) -> dict[str, memoryview]:
        """Return the blocks of ``value`` by their keys, as views."""
        ends = [number * self.value_bytes // self.n_blocks for number in range(self.n_blocks + 1)]
        return {
            name: value[start:stop]
            for name, start, stop in zip(self.keys(key), ends[:-1], ends[1:], strict=True)
        }

    def keys(self, key: str) -> list[str]:
        """Return the blocks' keys."""
        return [f"{key}#{self.token.hex()}/{number:04d}" for number in range(self.n_blocks)]


class BlockStorage(Wrapper):
    """Cuts the values of a storage into blocks.

    Parameters
    ----------
    inner : Storage
        Where the blocks go.
    block_bytes : int, optional
        Largest value that is stored as it is, and largest block; the inner storage's choice if
        left out.
    """

    def __init__(self, inner: Storage, block_bytes: int | None = None) -> None:
        super().__init__(inner)
        chosen = block_bytes or inner.block_bytes or inner.max_value_bytes
        if chosen is None:
            raise ValueError(
                "block_bytes: the inner storage has no limit; say how large blocks are"
            )
        self.block_bytes = self._block_bytes = chosen
        self.max_value_bytes = None
        # Spares a look at what is deleted. What is not remembered, or was replaced by somebody
        # else meanwhile, costs a request or leaves blocks to `clear` and expiry.
        self._layouts: OrderedDict[str, Manifest | None] = OrderedDict()
        self._lock = Lock()

    def save_many(self, values: Mapping[str, Buffer]) -> None:
        before = [name for key in values for name in self._known_blocks(key)]
        self.inner.save_many(self._put_blocks(values))
        self.inner.delete_many(before)

    def save(self, key: str, data: Buffer) -> None:
        before = self._known_blocks(key)
        self.inner.save(key, self._put_blocks({key: data})[key])
        self.inner.delete_many(before)

    def load_many(self, keys: Sequence[str]) -> dict[str, Buffer]:
        values: dict[str, Buffer] = {}
        stored = self.inner.load_many(keys)
        for _ in range(_MOST_TRIES):
            wholes, lost = self._wholes(stored)
            values |= wholes
            if not lost:
                break
            # Replaced while its blocks were read; or they are lost: as good as absent.
            again = self.inner.load_many([*lost])
            stored = {key: value for key, value in again.items() if bytes(value) != lost[key]}
        return values

    def load_into(self, targets: Mapping[str, memoryview]) -> set[str]:
        return Storage.load_into(self, targets)

    def find_many(self, keys: Sequence[str]) -> set[str]:
        parts = {key: [key, *self._known_blocks(key)] for key in keys}
        found = self.inner.find_many([name for names in parts.values() for name in names])
        whole = {key for key, names in parts.items() if found.issuperset(names)}
        # Blocks that are not there any more: lost, or those of a value that has been replaced.
        replaced = self.load_many([key for key in keys if key in found and key not in whole])
        return whole | replaced.keys()

    def delete_many(self, keys: Sequence[str]) -> None:
        for start in range(0, len(keys), _DELETED_AT_ONCE):
            self._delete(keys[start : start + _DELETED_AT_ONCE])

    def _delete(self, keys: Sequence[str]) -> None:
        unknown = [key for key in keys if key not in self._layouts]
        for key, value in self.inner.load_many(unknown).items():
            self._remember(key, Manifest.parse(value))
        blocks = [name for key in keys for name in self._known_blocks(key)]
        # The manifests first: a value without its blocks should not be seen.
        self.inner.delete_many([*keys, *blocks])
        self._forget(keys)

    def list(self, prefix: str) -> Iterator[str]:
        return (key for key in self.inner.list(prefix) if "#" not in key)

    def publish_many(self, values: Mapping[str, Buffer]) -> dict[str, Buffer]:
        stored = self._put_blocks(values)
        firsts = self.inner.publish_many(stored)
        return {
            key: data
            if firsts[key] is stored[key]
            else self._second(key, data, stored[key], firsts[key])
            for key, data in values.items()
        }

    def _second(self, key: str, data: Buffer, stored: Buffer, first: Buffer) -> Buffer:
        """Return what a key has whose ``first`` value is another than the one just ``stored``."""
        if bytes(first) == bytes(stored):  # it is ours after all: the call was repeated
            return data
        for _ in range(_MOST_TRIES):
            values = self.load_many([key])
            if key in values:
                self._drop_blocks(key, stored)
                return values[key]
            # Its blocks are lost: what is left of it would stand in the way for ever.
            _, version = self.inner.load_version(key)
            if self.inner.compare_and_save(key, stored, version):
                return data
        raise StorageUnavailableError(f"{key} neither takes nor has a whole value")

    def load_version(self, key: str) -> tuple[Buffer | None, Version]:
        for _ in range(_MOST_TRIES):
            value, version = self.inner.load_version(key)
            if value is None:
                return None, version
            wholes, lost = self._wholes({key: value})
            if not lost:
                return wholes[key], version
            if self.inner.load_version(key)[1] == version:  # its blocks are lost
                return None, version
        raise StorageUnavailableError(f"{key} is replaced faster than it can be read")

    def compare_and_save(self, key: str, data: Buffer, version: Version) -> bool:
        before = self._known_blocks(key)
        stored = self._put_blocks({key: data})[key]
        saved = self.inner.compare_and_save(key, stored, version)
        if saved:
            self.inner.delete_many(before)
        else:
            self._drop_blocks(key, stored)
        return saved

    def clear(self, prefix: str) -> None:
        self.inner.clear(prefix)
        self._forget([key for key in [*self._layouts] if key.startswith(prefix)])

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
        for key, value in self.inner.wait_each(
            keys, timeout_s=timeout_s, first_delay_s=first_delay_s, clock=clock, watch=watch
        ):
            values, _ = self._wholes({key: value})
            while key not in values:  # its blocks are lost, or it was replaced: look again
                remaining_s = deadline - clock.monotonic()
                if remaining_s <= 0:
                    raise WaitTimeoutError([key], timeout_s)
                if watch is not None:
                    watch()
                clock.sleep(min(_LOST_BLOCK_DELAY_S, remaining_s))
                values = self.load_many([key])
            yield key, values[key]

    def _put_blocks(self, values: Mapping[str, Buffer]) -> dict[str, Buffer]:
        """Store the blocks of the values that need any; return what is to lie under the keys."""
        stored: dict[str, Buffer] = {}
        blocks: dict[str, Buffer] = {}
        for key, data in values.items():
            manifest = None
            if len(data) > self._block_bytes or bytes(data[: len(_MAGIC)]) == _MAGIC:
                manifest = Manifest.plan(len(data), self._block_bytes)
                blocks |= manifest.cut(key, memoryview(data))
            self._remember(key, manifest)
            stored[key] = data if manifest is None else manifest.pack()
        if blocks:
            self.inner.save_many(blocks)
        return stored

    def _drop_blocks(self, key: str, stored: Buffer) -> None:
        manifest = Manifest.parse(stored)
        if manifest is not None:
            self.inner.delete_many(manifest.keys(key))

    def _wholes(self, stored: Mapping[str, Buffer]) -> tuple[dict[str, Buffer], dict[str, bytes]]:
        """Return the values that ``stored`` stands for, and the manifests whose blocks are lost."""
        wholes: dict[str, Buffer] = {}
        manifests: dict[str, Manifest] = {}
        targets: dict[str, memoryview] = {}
        for key, value in stored.items():
            manifest = Manifest.parse(value)
            self._remember(key, manifest)
            if manifest is None:
                wholes[key] = value
            else:
                manifests[key] = manifest
                wholes[key] = whole = _memory(manifest.value_bytes)
                targets |= manifest.cut(key, whole)
        filled = self.inner.load_into(targets) if targets else set()
        lost = {
            key: manifest.pack()
            for key, manifest in manifests.items()
            if not filled.issuperset(manifest.keys(key))
        }
        for key in lost:
            del wholes[key]
        return wholes, lost

    def _known_blocks(self, key: str) -> Sequence[str]:
        manifest = self._layouts.get(key)
        return [] if manifest is None else manifest.keys(key)

    def _remember(self, key: str, manifest: Manifest | None) -> None:
        with self._lock:
            self._layouts[key] = manifest
            self._layouts.move_to_end(key)
            while len(self._layouts) > _REMEMBERED:
                self._layouts.popitem(last=False)

    def _forget(self, keys: Sequence[str]) -> None:
        with self._lock:
            for key in keys:
                self._layouts.pop(key, None)


def _memory(size: int) -> memoryview:
    # Not filled with zeros, as a bytearray would be.
    return memoryview(np.empty(size, np.uint8).data)

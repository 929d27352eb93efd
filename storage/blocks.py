"""Stores large values in blocks: a service may limit their size, or transfer blocks faster.

The blocks of a value have the keys ``<key>#<token>/<number>``; every write draws a new token, so
concurrent writers never mix their blocks. ``<key>`` itself holds a manifest of the blocks. It is
written last, so the value becomes visible whole or not at all.
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

# Begins a manifest. A user's value with the same beginning is stored in blocks, whatever its size.
_MAGIC = bytes.fromhex("b10c5a9be3f24d0e8c61d7a4f3920b57")
_LAYOUT = struct.Struct("<16s8sQI")  # magic, token, bytes of the value, number of blocks
_MOST_TRIES = 10  # while other writers replace the value
_REMEMBERED = 4096
_LOST_BLOCK_DELAY_S = 0.02
_DELETED_AT_ONCE = 64  # keys; the unknown ones are read, some services send up to a block of each


@dataclass(frozen=True, slots=True)
class Manifest:
    """The blocks of one value."""

    token: bytes  # of one write
    value_bytes: int
    n_blocks: int

    @classmethod
    def plan(cls, value_bytes: int, block_bytes: int) -> Manifest:
        """Return a new manifest whose blocks are equally large, give or take a byte."""
        n_blocks = max(1, -(-value_bytes // block_bytes))
        return cls(secrets.token_bytes(8), value_bytes, n_blocks)

    @classmethod
    def parse(cls, data: Buffer) -> Manifest | None:
        """Return the manifest in ``data``, or None if it is a value."""
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
        Stores the blocks.
    block_bytes : int, optional
        Size of the largest block; smaller values are stored whole. Defaults to the inner
        storage's ``block_bytes`` or ``max_value_bytes``.
    """

    def __init__(self, inner: Storage, block_bytes: int | None = None) -> None:
        super().__init__(inner)
        chosen = block_bytes or inner.block_bytes or inner.max_value_bytes
        if chosen is None:
            raise ValueError("block_bytes: the inner storage has no limit, so a size is needed")
        self.block_bytes = self._block_bytes = chosen
        self.max_value_bytes = None
        # Manifests seen so far, None for whole values: a key in here is deleted without being
        # read. Blocks of a value that another writer has replaced are left to `clear` and expiry.
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
            # Replaced while its blocks were read, or the blocks are lost; then it counts as absent.
            again = self.inner.load_many([*lost])
            stored = {key: value for key, value in again.items() if bytes(value) != lost[key]}
        return values

    def load_into(self, targets: Mapping[str, memoryview]) -> set[str]:
        return Storage.load_into(self, targets)

    def load_heads(self, keys: Sequence[str], n_bytes: int) -> dict[str, Buffer]:
        return Storage.load_heads(self, keys, n_bytes)

    def find_many(self, keys: Sequence[str]) -> set[str]:
        parts = {key: [key, *self._known_blocks(key)] for key in keys}
        found = self.inner.find_many([name for names in parts.values() for name in names])
        whole = {key for key, names in parts.items() if found.issuperset(names)}
        # Blocks are missing: they are lost, or the value has been replaced.
        replaced = self.load_many([key for key in keys if key in found and key not in whole])
        return whole | replaced.keys()

    def delete_many(self, keys: Sequence[str]) -> None:
        for start in range(0, len(keys), _DELETED_AT_ONCE):
            self._delete(keys[start : start + _DELETED_AT_ONCE])

    def _delete(self, keys: Sequence[str]) -> None:
        unknown = [key for key in keys if key not in self._layouts]
        # A value that only begins like a manifest is longer.
        for key, head in self.inner.load_heads(unknown, _LAYOUT.size + 1).items():
            self._remember(key, Manifest.parse(head))
        blocks = [name for key in keys for name in self._known_blocks(key)]
        # Manifests first: no reader should see one without its blocks.
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
        """Return the value of a key that had the ``first`` one before ours was ``stored``."""
        if bytes(first) == bytes(stored):  # our own: the call was repeated
            return data
        for _ in range(_MOST_TRIES):
            values = self.load_many([key])
            if key in values:
                self._drop_blocks(key, stored)
                return values[key]
            # Its blocks are lost. Replace its manifest, which would block the key for ever.
            _, version = self.inner.load_version(key)
            if self.inner.compare_and_save(key, stored, version):
                return data
        raise StorageUnavailableError(f"{key} accepts no value and has no complete one")

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
            while key not in values:  # its blocks are lost, or it was replaced
                remaining_s = deadline - clock.monotonic()
                if remaining_s <= 0:
                    raise WaitTimeoutError([key], timeout_s)
                if watch is not None:
                    watch()
                clock.sleep(min(_LOST_BLOCK_DELAY_S, remaining_s))
                values = self.load_many([key])
            yield key, values[key]

    def _put_blocks(self, values: Mapping[str, Buffer]) -> dict[str, Buffer]:
        """Store the blocks of large values; return each key's own value: whole, or a manifest."""
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
        """Put values together; return them, and the manifests whose blocks are lost."""
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
    # np.empty: a bytearray would be filled with zeros first.
    return memoryview(np.empty(size, np.uint8).data)

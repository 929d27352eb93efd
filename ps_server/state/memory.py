"""The memory of messages: counted before it is allocated, and used again.

The system clears each fresh page, which takes longer than filling it. Steps of a job need blocks of
the same sizes again and again, so returned blocks are kept for them.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]

_SMALLEST_KEPT = 2**16  # the allocator keeps what is smaller
_COUNTED_BYTES = 2**10  # of the smallest block, with its description


class Block:
    """Memory for one message, with a count of holders.

    Blocks that only a snapshot holds do not count as used: a snapshot must not hold up a job.

    Attributes
    ----------
    data : array of uint8
        Only a sole holder may write to it.
    """

    __slots__ = ("_holders", "_memory", "_snapshots", "data")

    def __init__(self, data: Bytes, memory: Memory) -> None:
        self.data = data
        self._memory = memory
        self._holders = 1
        self._snapshots = 0

    @property
    def is_shared(self) -> bool:
        """Whether there is another holder, or a snapshot."""
        return self._holders > 1 or self._snapshots > 0

    def hold(self, *, for_snapshot: bool = False) -> Block:
        """Add a holder, or a snapshot, and return the block."""
        with self._memory.lock:
            self._snapshots += for_snapshot
            self._holders += not for_snapshot
        return self

    def drop(self, *, from_snapshot: bool = False) -> None:
        """Remove a holder, or a snapshot; the last one gives the memory back."""
        with self._memory.lock:
            self._snapshots -= from_snapshot
            self._holders -= not from_snapshot
            if self._holders == 0 and not from_snapshot:
                self._memory.used_bytes -= counted_bytes(len(self.data))
            if self._holders == self._snapshots == 0:
                self._memory.keep(self.data)

    def owned(self) -> Block:
        """Return a block with the same bytes and no other holder; this one must not be used."""
        if not self.is_shared:
            return self
        copy = self._memory.take(len(self.data))
        np.copyto(copy.data, self.data)
        self.drop()
        return copy


class Memory:
    """All blocks of a server, of at most ``limit_bytes`` together."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self.lock = threading.RLock()
        self._kept: OrderedDict[int, list[Bytes]] = OrderedDict()  # the last used size is the last
        self._kept_bytes = 0

    @property
    def free_bytes(self) -> int:
        return self.limit_bytes - self.used_bytes

    def take(self, size: int) -> Block:
        """Return a block of ``size`` uncleared bytes, which a job has set aside."""
        with self.lock:
            self.used_bytes += counted_bytes(size)
            same = self._kept.get(size)
            if same:
                self._kept_bytes -= size
                return Block(same.pop(), self)
            self._release_kept(self.free_bytes)
        return Block(np.empty(size, np.uint8), self)

    def take_within_limit(self, size: int) -> Block | None:
        """Return a block of ``size`` bytes, or None if there is no room for it."""
        with self.lock:
            return self.take(size) if self.free_bytes >= counted_bytes(size) else None

    def keep(self, data: Bytes) -> None:
        """Keep the memory of a block without holders; the lock is held."""
        size = len(data)
        if size >= _SMALLEST_KEPT:
            self._kept.setdefault(size, []).append(data)
            self._kept.move_to_end(size)
            self._kept_bytes += size
            self._release_kept(self.free_bytes)

    def trim(self) -> None:
        """Give unused memory back to the system: a job has ended."""
        with self.lock:
            self._release_kept(0)

    def _release_kept(self, most_bytes: int) -> None:
        while self._kept_bytes > max(0, most_bytes):
            size, same = next(iter(self._kept.items()))
            if same:
                same.pop()
                self._kept_bytes -= size
            if not same:
                del self._kept[size]


def counted_bytes(size: int) -> int:
    """Return the memory that a block of ``size`` bytes counts as."""
    return max(size, _COUNTED_BYTES)

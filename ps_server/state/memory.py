"""The memory in which messages lie: counted before it is taken, and used again.

Fresh pages cost more than filling them: the system clears each one. Steps of a job need blocks of
the same sizes again and again, so those that are given back are kept for the next one.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]

_SMALLEST_KEPT = 2**16  # the allocator keeps what is smaller
_COUNTED_BYTES = 2**10  # what a block costs at least, with all that describes it


class Block:
    """Memory for one message, shared by whoever holds it.

    Snapshots read blocks for as long as they are written. What only they hold is not counted as
    used: jobs have set aside what they need, and a snapshot must not hold them up.

    Attributes
    ----------
    data : array of uint8
        To be written only by a sole holder.
    """

    __slots__ = ("_holders", "_memory", "_snapshots", "data")

    def __init__(self, data: Bytes, memory: Memory) -> None:
        self.data = data
        self._memory = memory
        self._holders = 1
        self._snapshots = 0

    @property
    def is_shared(self) -> bool:
        """Whether somebody else reads it."""
        return self._holders > 1 or self._snapshots > 0

    def hold(self) -> Block:
        """Count one more holder, and return the block."""
        with self._memory.lock:
            self._holders += 1
        return self

    def drop(self) -> None:
        """Count one holder less; the last one gives the memory back."""
        with self._memory.lock:
            self._holders -= 1
            if self._holders == 0:
                self._memory.used_bytes -= counted_bytes(len(self.data))
                if self._snapshots == 0:
                    self._memory.keep(self.data)

    def hold_for_snapshot(self) -> Block:
        """Have the block stay as it is until `drop_from_snapshot`, and return it."""
        with self._memory.lock:
            self._snapshots += 1
        return self

    def drop_from_snapshot(self) -> None:
        """Say that a snapshot does not read it any more."""
        with self._memory.lock:
            self._snapshots -= 1
            if self._holders == self._snapshots == 0:
                self._memory.keep(self.data)


class Memory:
    """All blocks of a server.

    Parameters
    ----------
    limit_bytes : int
        Of all blocks together; whoever takes more than was set aside looks at `free_bytes` first.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self.lock = threading.Lock()
        self._kept: OrderedDict[int, list[Bytes]] = OrderedDict()  # the last used size is the last
        self._kept_bytes = 0

    @property
    def free_bytes(self) -> int:
        """Bytes below the limit that nobody holds."""
        return self.limit_bytes - self.used_bytes

    def take(self, size: int) -> Block:
        """Return a block of ``size`` bytes, which are not cleared; of those that are set aside."""
        block = self._take(size, within=None)
        assert block is not None
        return block

    def take_within_limit(self, size: int) -> Block | None:
        """Return a block of ``size`` bytes, or None if there is no room for it."""
        return self._take(size, within=self.limit_bytes)

    def _take(self, size: int, within: int | None) -> Block | None:
        with self.lock:
            if within is not None and self.used_bytes + counted_bytes(size) > within:
                return None
            self.used_bytes += counted_bytes(size)
            same = self._kept.get(size)
            if same:
                self._kept_bytes -= size
                return Block(same.pop(), self)
            self._release_kept(self.limit_bytes - self.used_bytes)
        return Block(np.empty(size, np.uint8), self)

    def keep(self, data: Bytes) -> None:
        """Keep the memory of a block that nobody reads any more; the lock is held."""
        size = len(data)
        if size >= _SMALLEST_KEPT:
            self._kept.setdefault(size, []).append(data)
            self._kept.move_to_end(size)
            self._kept_bytes += size
            self._release_kept(self.limit_bytes - self.used_bytes)

    def trim(self) -> None:
        """Give what nobody holds back to the system: a job has ended."""
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
    """Return what a block of ``size`` bytes counts."""
    return max(size, _COUNTED_BYTES)

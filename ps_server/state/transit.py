"""Messages on their way into and out of the state of a parameter server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comm.wire import RunningChecksum
from ps_server.state.memory import Block
from stepml.job.step import Step

if TYPE_CHECKING:
    from ps_server.state.jobs import Job

LEAST_MESSAGE_BYTES = 32  # the header


class Incoming:
    """A message on its way in; the caller writes its bytes to ``memory``."""

    __slots__ = ("_block", "_checksum", "attempt", "job", "memory", "rank", "step")

    def __init__(self, job: Job, step: Step, rank: int, attempt: str, block: Block) -> None:
        self.job, self.step, self.rank, self.attempt = job, step, rank, attempt
        self._block: Block | None = block
        self._checksum = RunningChecksum()
        self.memory = block.data.data

    def arrived(self, start: int, stop: int) -> None:
        """Add a piece to the checksum; without any piece, `push` computes it."""
        if stop >= LEAST_MESSAGE_BYTES:
            self._checksum.add(self.memory[0 if start < LEAST_MESSAGE_BYTES else start : stop])

    def write(self, start: int, piece: bytes) -> None:
        """Copy a piece to its place."""
        stop = start + len(piece)
        self.memory[start:stop] = piece
        self.arrived(start, stop)

    @property
    def checksum(self) -> int | None:
        """The checksum of the pieces that `arrived`."""
        return self._checksum.value()

    def taken(self) -> Block:
        """Return the block, which belongs to the caller now."""
        block, self._block = self._block, None
        if block is None:
            raise ValueError("the message has been pushed, or given up")
        self.memory = memoryview(b"")
        return block

    def close(self) -> None:
        """Give the memory back, unless the message has been pushed."""
        if self._block is not None:
            self.taken().drop()


class Outgoing:
    """A message on its way out; ``data`` does not change until `close`."""

    __slots__ = ("_block", "data")

    def __init__(self, block: Block) -> None:
        self._block: Block | None = block
        self.data = block.data.data.toreadonly()

    def close(self) -> None:
        """Give the memory back."""
        block, self._block = self._block, None
        self.data = memoryview(b"")
        if block is not None:
            block.drop()

"""The sum of one step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from comm.wire import Draft, Message, encode, message_bytes
from ps_server.protocol.calls import ALL_RANKS
from ps_server.protocol.refusals import InvalidRequest
from ps_server.state.memory import Block, Memory
from ps_server.state.rules import decoded, draft_over, require_like
from stepml.job.errors import CompressionError


class StepSum:
    """One step: the sum of the first ranks, and the contributions that came out of order.

    Ranks are added in their order, as on every other channel, so that the sum has the same bits.
    """

    def __init__(self, world_size: int, compression: str, memory: Memory) -> None:
        self.is_complete = False
        self._world_size = world_size
        self._compression = compression
        self._memory = memory
        self._added = 0  # ranks in the sum: 0 … this - 1
        self._block: Block | None = None  # of the sum
        self._draft: Draft | None = None  # of the sum, in that block, until it is complete
        self._first: Message | None = None  # what all others have to be like
        self._pause = False
        self._waiting: dict[int, tuple[Block, Message]] = {}
        self._error = ""  # why there is no sum

    def has(self, rank: int) -> bool:
        if self.is_complete:
            return True
        return rank != ALL_RANKS and (rank < self._added or rank in self._waiting)

    def missing(self) -> list[int]:
        if self.is_complete:
            return []
        return [r for r in range(self._added, self._world_size) if r not in self._waiting]

    def require_like(self, message: Message, name: str) -> None:
        """Raise `DamagedVector` for what cannot be added to what is here."""
        if self._first is not None:
            require_like(message, self._first, name)

    def add(self, rank: int, block: Block, message: Message) -> None:
        """Add a contribution, which owns its block; after an error only `close` is allowed."""
        if rank == ALL_RANKS:
            self.close()
            self._block, self.is_complete = block, True
            return
        if self._first is None:
            self._first = _outline(message)
        self._waiting[rank] = block, message
        while (arrived := self._waiting.get(self._added)) is not None:
            self._add(*arrived)

    def sum_block(self) -> Block:
        """Return the block of the sum, or raise `InvalidRequest` if it cannot be compressed."""
        if self._error:
            raise InvalidRequest(self._error)
        assert self._block is not None
        return self._block

    def blocks(self) -> Iterator[Block]:
        """Yield the sum's block, then those of the waiting ranks in order."""
        if self._block is not None:
            yield self._block
        for rank in sorted(self._waiting):
            yield self._waiting[rank][0]

    def close(self) -> None:
        """Give all memory back."""
        blocks = {id(block): block for block in self.blocks()}  # the sum may lie in rank 0's
        for block in blocks.values():
            block.drop()
        self._block = self._draft = None
        self._waiting = {}

    def export(self) -> dict[str, Any]:
        if self._draft is not None and self._block is not None:
            message, _ = self._draft.finish()  # so that it can be decoded
            self._draft = draft_over(self._block.data, message)
        return {
            "added": self._added,
            "pause": self._pause,
            "complete": self.is_complete,
            "waiting": sorted(self._waiting),
            "has_sum": self._block is not None,
            "error": self._error,
        }

    def restore(self, fields: dict[str, Any], blocks: Iterator[Block]) -> None:
        self._added, self._pause = fields["added"], fields["pause"]
        self.is_complete, self._error = fields["complete"], fields["error"]
        if fields["has_sum"]:
            self._block = next(blocks)
            message = decoded(self._block, "a restored sum")
            self._first = _outline(message)
            if not self.is_complete:
                self._draft = draft_over(self._block.data, message)
        for rank in fields["waiting"]:
            block = next(blocks)
            message = decoded(block, "a restored contribution")
            self._waiting[rank], self._first = (block, message), _outline(message)

    def _add(self, block: Block, message: Message) -> None:
        """Add the contribution of the next rank."""
        self._pause |= message.pause
        is_last = self._added == self._world_size - 1
        last = None
        if self._draft is None:
            self._begin(block, message)
        else:
            self._own()
            if is_last:
                last = message
            else:
                self._draft.vector += message.vector
                self._draft.trailer += message.trailer
        is_sum = self._block is block
        if is_last:
            self._complete(last)
        del self._waiting[self._added]
        self._added += 1
        if not is_sum:
            block.drop()

    def _begin(self, block: Block, message: Message) -> None:
        """Make rank 0's contribution the sum, in place unless it is compressed."""
        size, dtype, trailer_size = message.vector.size, message.vector.dtype, message.trailer.size
        if dtype != np.float16:
            self._block, self._draft = block, draft_over(block.data, message)
            return
        dtype = np.dtype(np.float32)
        self._block = self._memory.take(message_bytes(size, dtype, trailer_size))
        self._draft = Draft(size, dtype, trailer_size, self._block.data)
        self._draft.vector[:] = message.vector
        self._draft.trailer[:] = message.trailer

    def _own(self) -> None:
        """Move the sum to a block of its own if a snapshot reads the present one."""
        assert self._block is not None
        assert self._draft is not None
        owned, draft = self._block.owned(), self._draft
        if owned is not self._block:
            size, dtype = draft.vector.size, draft.vector.dtype
            self._draft = Draft(size, dtype, draft.trailer.size, owned.data)
            self._block = owned

    def _complete(self, last: Message | None = None) -> None:
        """Add the ``last`` contribution, unless it is there already, and seal the sum."""
        assert self._block is not None
        assert self._draft is not None
        message, _ = self._draft.finish(pause=self._pause, last=last)
        self._draft, self.is_complete = None, True
        if self._compression == "none" or message.vector.dtype != np.float32:
            return
        full, self._block = self._block, None
        try:
            data = encode(message, "float16")
            self._block = self._memory.take(len(data))
            self._block.data[:] = np.frombuffer(data, np.uint8)
        except CompressionError as error:  # of the sum: nobody's push was wrong
            self._error = str(error)
        finally:
            full.drop()


def _outline(message: Message) -> Message:
    """Return a message of the same shape, without its memory."""
    vector = np.broadcast_to(np.zeros((), message.vector.dtype), message.vector.shape)
    return Message(vector, np.broadcast_to(np.zeros(()), message.trailer.shape))

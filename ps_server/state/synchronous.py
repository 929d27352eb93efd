"""The bulk-synchronous rule: a step is complete when all ranks have pushed; everybody gets its sum.

Ranks are added in their order, as on every other channel, so the sum has the same bits. Whoever
comes in order is added when it arrives; the others are held until it is their turn.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import numpy as np

from comm.wire import Draft, Message, encode, message_bytes
from ps_server.protocol.calls import ALL_RANKS, Pushed, StepStatus
from ps_server.protocol.refusals import InvalidRequest, StepForgotten
from ps_server.state.memory import Block, Memory
from ps_server.state.rules import Rule, decoded, require_like
from stepml.job.errors import CompressionError
from stepml.job.step import Step

_FRONTIERS = 64  # attempts at epochs; older ones have ended
_NEVER_EVICTED = 2  # the newest steps of a job: ranks are at most one apart


class Sums(Rule):
    """The steps of a bulk-synchronous job."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._steps: dict[Step, _Sum] = {}
        self._frontiers: OrderedDict[tuple[str, int], int] = OrderedDict()
        # By epoch: the furthest batch whose sum each rank has pulled.
        self._reached: dict[int, list[int]] = {}

    def needs(self, step: Step, rank: int, attempt: str) -> bool:
        held = self._steps.get(step)
        if held is None:
            self._refuse_behind(step, attempt)
            return True
        return not held.has(rank)

    def push(
        self, step: Step, rank: int, attempt: str, block: Block, message: Message, based_on: int
    ) -> Pushed:
        held = self._steps.get(step)
        try:
            if held is None:
                self._refuse_behind(step, attempt)
                held = _Sum(self.settings.world_size, self.settings.compression, self.memory)
            if held.has(rank):
                block.drop()
                return self.repeated(step, rank)
            held.require_like(message, f"rank {rank}'s push to {step}")
        except BaseException:
            block.drop()
            raise
        try:
            held.add(rank, block, message)
        except BaseException:
            # Such as no memory: nobody knows what has been added, so all ranks push again.
            self._steps.pop(step, None)
            held.close()
            raise
        self._steps[step] = held
        if attempt:
            self._move_frontier(step, attempt)
        return Pushed(is_repeated=False)

    def repeated(self, step: Step, rank: int) -> Pushed:
        return Pushed(is_repeated=True)

    def missing(self, step: Step, rank: int, attempt: str) -> list[int]:
        held = self._steps.get(step)
        if held is None:
            self._refuse_behind(step, attempt)
            return [*range(self.settings.world_size)]
        return held.missing()

    def wakes(self, step: Step) -> bool:
        return self._steps[step].is_complete

    def pulled(self, step: Step, rank: int) -> Block:
        block = self._steps[step].sum_block()
        if rank != ALL_RANKS:
            reached = self._reached.setdefault(step.epoch, [-1] * self.settings.world_size)
            reached[rank] = max(reached[rank], step.batch)
        return block.hold()

    def status(self, step: Step) -> StepStatus:
        held = self._steps.get(step)
        if held is None:
            return StepStatus((), is_complete=False)
        absent = set(held.missing())
        ranks = tuple(rank for rank in range(self.settings.world_size) if rank not in absent)
        return StepStatus(ranks, held.is_complete)

    def frontier(self, attempt: str, epoch: int) -> int:
        return self._frontiers.get((attempt, epoch), 0)

    def forget(self, through: Step) -> None:
        self._close(
            [s for s in self._steps if s.epoch == through.epoch and s.batch <= through.batch]
        )

    def reset(self, epoch: int) -> None:
        self._close([step for step in self._steps if epoch in (0, step.epoch)])
        for key in [key for key in self._frontiers if epoch in (0, key[1])]:
            del self._frontiers[key]
        for each in [each for each in self._reached if epoch in (0, each)]:
            del self._reached[each]

    def evict(self) -> bool:
        old = sorted(self._steps)[:-_NEVER_EVICTED]
        gone = [step for step in old if self._steps[step].is_complete and self._is_through(step)]
        self._close(gone)
        return bool(gone)

    def blocks(self) -> Iterator[Block]:
        for held in self._steps.values():
            yield from held.blocks()

    @property
    def n_steps(self) -> int:
        return len(self._steps)

    def export(self) -> tuple[dict[str, Any], list[Block]]:
        blocks: list[Block] = []
        steps = []
        for step, held in self._steps.items():
            steps.append([step.epoch, step.batch, held.export()])
            blocks += [block.hold_for_snapshot() for block in held.blocks()]
        frontiers = [[*key, batch] for key, batch in self._frontiers.items()]
        reached = [*self._reached.items()]
        return {"steps": steps, "frontiers": frontiers, "reached": reached}, blocks

    def restore(self, fields: dict[str, Any], blocks: Iterator[Block]) -> None:
        for epoch, batch, described in fields["steps"]:
            held = _Sum(self.settings.world_size, self.settings.compression, self.memory)
            held.restore(described, blocks)
            self._steps[Step(epoch, batch)] = held
        for attempt, epoch, batch in fields["frontiers"]:
            self._frontiers[attempt, epoch] = batch
        self._reached = dict(fields["reached"])

    def _is_through(self, step: Step) -> bool:
        """Return whether all ranks have this step's sum, or one behind it."""
        reached = self._reached.get(step.epoch)
        return reached is not None and min(reached) >= step.batch

    def _refuse_behind(self, step: Step, attempt: str) -> None:
        """Refuse a rank whose peers are out of reach.

        One step behind it is not: whoever has that step's sum may still give it back.
        """
        reached = self.frontier(attempt, step.epoch) if attempt else 0
        if reached > step.batch + 1:
            raise StepForgotten(
                f"{step} is not here, and ranks of this attempt are at batch {reached}"
            )

    def _move_frontier(self, step: Step, attempt: str) -> None:
        key = attempt, step.epoch
        self._frontiers[key] = max(self._frontiers.get(key, 0), step.batch)
        self._frontiers.move_to_end(key)
        while len(self._frontiers) > _FRONTIERS:
            self._frontiers.popitem(last=False)

    def _close(self, steps: list[Step]) -> None:
        for step in steps:
            self._steps.pop(step).close()
        epochs = {step.epoch for step in self._steps}
        for epoch in [each for each in self._reached if each not in epochs]:
            del self._reached[epoch]


class _Sum:
    """One step: the sum of the first ranks, and those that came out of order."""

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
        """Take a contribution; the block belongs to this now.

        After an error nothing here is to be relied on, and `close` gives all memory back.
        """
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
        """Return where the sum lies."""
        if self._error:
            raise InvalidRequest(self._error)
        assert self._block is not None
        return self._block

    def blocks(self) -> Iterator[Block]:
        """Yield the sum's block, if there is one, then those of the ranks that wait, in order."""
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
            self._draft = Draft.over(self._block.data, message)
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
                self._draft = Draft.over(self._block.data, message)
        for rank in fields["waiting"]:
            block = next(blocks)
            message = decoded(block, "a restored contribution")
            self._waiting[rank], self._first = (block, message), _outline(message)

    def _add(self, block: Block, message: Message) -> None:
        """Add the contribution of the next rank, which waits until that is done."""
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
        """Make rank 0's contribution the sum, where it lies unless it came compressed."""
        size, dtype, trailer_size = message.vector.size, message.vector.dtype, message.trailer.size
        if dtype != np.float16:
            self._block, self._draft = block, Draft.over(block.data, message)
            return
        dtype = np.dtype(np.float32)
        self._block = self._memory.take(message_bytes(size, dtype, trailer_size))
        self._draft = Draft(size, dtype, trailer_size, self._block.data)
        self._draft.vector[:] = message.vector
        self._draft.trailer[:] = message.trailer

    def _own(self) -> None:
        """Have the sum in a block that nobody reads: a snapshot may be being written."""
        assert self._block is not None
        assert self._draft is not None
        if self._block.is_shared:
            shared, draft = self._block, self._draft
            self._block = self._memory.take(len(shared.data))
            np.copyto(self._block.data, shared.data)
            self._draft = Draft(
                draft.vector.size, draft.vector.dtype, draft.trailer.size, self._block.data
            )
            shared.drop()

    def _complete(self, last: Message | None = None) -> None:
        """End the sum, of which ``last`` is the last contribution unless it is there already."""
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

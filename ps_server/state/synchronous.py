"""The bulk-synchronous rule: a step is complete when all ranks have pushed; all get its sum."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import numpy as np

from comm.wire import Draft, Message, encode, message_bytes
from ps_server.protocol.calls import ALL_RANKS, JobSettings, Pushed, StepStatus, Target
from ps_server.protocol.refusals import InvalidRequest, StepForgotten
from ps_server.state.memory import Block, Memory
from ps_server.state.rules import Rule, Shape, decoded, draft_over, name_of
from stepml.job.errors import CompressionError
from stepml.job.step import Step

_FRONTIERS = 64  # attempts at epochs; older ones have ended
_NEVER_EVICTED = 2  # the newest steps of a job: ranks are at most one apart


class Sums(Rule):
    """The steps of a bulk-synchronous job."""

    def __init__(self, settings: JobSettings, memory: Memory) -> None:
        super().__init__(settings, memory)
        self._steps: dict[Step, StepSum] = {}
        self._frontiers: OrderedDict[tuple[str, int], int] = OrderedDict()
        # By epoch: the furthest batch whose sum each rank has pulled.
        self._reached: dict[int, list[int]] = {}

    def repeated(self, target: Target) -> Pushed | None:
        held = self._held(target)
        return Pushed(is_repeated=True) if held is not None and held.has(target.rank) else None

    def push(self, target: Target, block: Block, message: Message) -> Pushed:
        try:
            held = self._held(target) or StepSum(self.settings, self.memory)
            if held.has(target.rank):
                block.drop()
                return Pushed(is_repeated=True)
            if held.shape is not None:
                held.shape.require(message, name_of(target))
        except BaseException:
            block.drop()
            raise
        try:
            held.add(target.rank, block, message)
        except BaseException:
            # Such as no memory: some ranks may have been added, so all ranks push again.
            self._steps.pop(target.step, None)
            held.close()
            raise
        self._steps[target.step] = held
        if target.attempt:
            self._move_frontier(target.step, target.attempt)
        return Pushed(is_repeated=False)

    def missing(self, target: Target) -> list[int]:
        held = self._held(target)
        return [*range(self.settings.world_size)] if held is None else held.missing()

    def wakes(self, step: Step) -> bool:
        return self._steps[step].is_complete

    def pulled(self, target: Target) -> Block:
        step, rank = target.step, target.rank
        block = self._steps[step].sum_block()
        if rank != ALL_RANKS:
            reached = self._reached.setdefault(step.epoch, [-1] * self.settings.world_size)
            reached[rank] = max(reached[rank], step.batch)
        return block.hold()

    def status(self, step: Step) -> StepStatus:
        held = self._steps.get(step)
        if held is None:
            return StepStatus((), is_complete=False)
        present = {*range(self.settings.world_size)} - {*held.missing()}
        return StepStatus(tuple(sorted(present)), held.is_complete)

    def frontier(self, attempt: str, epoch: int) -> int:
        return self._frontiers.get((attempt, epoch), 0)

    def forget(self, through: Step) -> None:
        self._close([step for step in self._steps if Step(through.epoch) <= step <= through])

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
        steps = [[step.epoch, step.batch, held.export()] for step, held in self._steps.items()]
        frontiers = [[*key, batch] for key, batch in self._frontiers.items()]
        fields = {"steps": steps, "frontiers": frontiers, "reached": [*self._reached.items()]}
        return fields, [block.hold(for_snapshot=True) for block in self.blocks()]

    def restore(self, fields: dict[str, Any], blocks: Iterator[Block]) -> None:
        for epoch, batch, described in fields["steps"]:
            held = self._steps[Step(epoch, batch)] = StepSum(self.settings, self.memory)
            held.restore(described, blocks)
        for attempt, epoch, batch in fields["frontiers"]:
            self._frontiers[attempt, epoch] = batch
        self._reached = dict(fields["reached"])

    def _held(self, target: Target) -> StepSum | None:
        """Return the step, if it is here; raise `StepForgotten` if it was, and is gone."""
        step, attempt = target.step, target.attempt
        held = self._steps.get(step)
        reached = self.frontier(attempt, step.epoch) if attempt else 0
        # One step behind is allowed: a rank that has that step's sum may still give it back.
        if held is None and reached > step.batch + 1:
            raise StepForgotten(
                f"{step} is not here, and ranks of this attempt are at batch {reached}"
            )
        return held

    def _is_through(self, step: Step) -> bool:
        """Return whether all ranks have pulled this step's sum, or a later one."""
        reached = self._reached.get(step.epoch)
        return reached is not None and min(reached) >= step.batch

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


class StepSum:
    """One step: the sum of the first ranks, and the contributions that came out of order.

    Ranks are added in their order, as on every other channel, so that the sum has the same bits.
    """

    def __init__(self, settings: JobSettings, memory: Memory) -> None:
        self.is_complete = False
        self.shape: Shape | None = None  # of all contributions
        self._settings = settings
        self._memory = memory
        self._added = 0  # ranks in the sum: 0 … this - 1
        self._block: Block | None = None  # of the sum
        self._draft: Draft | None = None  # of the sum, in that block, until it is complete
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
        return [r for r in range(self._added, self._settings.world_size) if r not in self._waiting]

    def add(self, rank: int, block: Block, message: Message) -> None:
        """Add a contribution, which owns its block; after an error only `close` is allowed."""
        if rank == ALL_RANKS:
            self.close()
            self._block, self.is_complete = block, True
            return
        self.shape = Shape.of(message)
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
            message = decoded(self._block.data.data, "a restored sum")
            self.shape = Shape.of(message)
            if not self.is_complete:
                self._draft = draft_over(self._block.data, message)
        for rank in fields["waiting"]:
            block = next(blocks)
            message = decoded(block.data.data, "a restored contribution")
            self._waiting[rank], self.shape = (block, message), Shape.of(message)

    def _add(self, block: Block, message: Message) -> None:
        """Add the contribution of the next rank."""
        self._pause |= message.pause
        is_last = self._added == self._settings.world_size - 1
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
        if message.vector.dtype != np.float16:
            self._block, self._draft = block, draft_over(block.data, message)
            return
        size, dtype, n_trailer = message.vector.size, np.dtype(np.float32), message.trailer.size
        self._block = self._memory.take(message_bytes(size, dtype, n_trailer))
        self._draft = Draft(size, dtype, n_trailer, self._block.data)
        self._draft.vector[:] = message.vector
        self._draft.trailer[:] = message.trailer

    def _own(self) -> None:
        """Move the sum to a block of its own if a snapshot reads the present one."""
        assert self._block is not None
        assert self._draft is not None
        owned = self._block.owned()
        if owned is not self._block:
            self._block, self._draft = owned, draft_over(owned.data, self._draft)

    def _complete(self, last: Message | None) -> None:
        """Add the ``last`` contribution, unless it is there already, and seal the sum."""
        assert self._block is not None
        assert self._draft is not None
        message, _ = self._draft.finish(pause=self._pause, last=last)
        self._draft, self.is_complete = None, True
        if self._settings.compression == "none" or message.vector.dtype != np.float32:
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

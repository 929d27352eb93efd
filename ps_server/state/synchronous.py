"""The bulk-synchronous rule: a step is complete when all ranks have pushed; all get its sum."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from comm.wire import Draft, Message, encode, message_bytes
from ps_server.protocol.calls import ALL_RANKS, JobSettings, Pushed, StepStatus, Target
from ps_server.protocol.refusals import InvalidRequest, StepForgotten
from ps_server.state.memory import Block, Memory
from ps_server.state.rules import Rule, Shape, decoded
from stepml.job.errors import CompressionError
from stepml.job.step import Step

_FRONTIERS = 64  # attempts at epochs; older ones have ended
_NEVER_EVICTED = 2  # the newest steps of a job: ranks are at most one apart


class Sums(Rule):
    """The steps of a bulk-synchronous job."""

    def __init__(self, settings: JobSettings, memory: Memory) -> None:
        super().__init__(settings, memory)
        self._steps: dict[Step, StepSum] = {}
        self._frontiers: dict[tuple[str, int], int] = {}  # the oldest first
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
            held.add(target, block, message)
        except BaseException:
            block.drop()
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

    def export(self) -> dict[str, Any]:
        steps = [[step.epoch, step.batch, held.export()] for step, held in self._steps.items()]
        frontiers = [[*key, batch] for key, batch in self._frontiers.items()]
        return {"steps": steps, "frontiers": frontiers, "reached": [*self._reached.items()]}

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
        self._frontiers[key] = max(self._frontiers.pop(key, 0), step.batch)  # the last one now
        if len(self._frontiers) > _FRONTIERS:
            del self._frontiers[next(iter(self._frontiers))]

    def _close(self, steps: list[Step]) -> None:
        for step in steps:
            self._steps.pop(step).close()
        epochs = {step.epoch for step in self._steps}
        self._reached = {each: ranks for each, ranks in self._reached.items() if each in epochs}


class StepSum:
    """One step: the contributions of the ranks, then their sum.

    All are added once the last one is there, in one pass over the vector, and in rank order, as on
    every other channel, so that the sum has the same bits.
    """

    def __init__(self, settings: JobSettings, memory: Memory) -> None:
        self._settings = settings
        self._memory = memory
        self._pushed: dict[int, tuple[Block, Message]] = {}  # by rank; or `ALL_RANKS` alone
        self._shape: Shape | None = None  # of all contributions
        self._error = ""  # why there is no sum

    @property
    def is_complete(self) -> bool:
        return ALL_RANKS in self._pushed or bool(self._error)

    def has(self, rank: int) -> bool:
        return self.is_complete or rank in self._pushed

    def missing(self) -> list[int]:
        ranks = () if self.is_complete else range(self._settings.world_size)
        return [rank for rank in ranks if rank not in self._pushed]

    def add(self, target: Target, block: Block, message: Message) -> None:
        """Add a contribution, which owns its block; after an error, it is the caller's again."""
        rank, shape = target.rank, Shape.of(message)
        if self._pushed and self._shape is not None:
            self._shape.require(shape, target)
        if rank == ALL_RANKS:
            self.close()
        self._pushed[rank], self._shape = (block, message), shape
        if rank != ALL_RANKS and len(self._pushed) == self._settings.world_size:
            try:
                self._complete()
            except BaseException:
                del self._pushed[rank]
                raise

    def sum_block(self) -> Block:
        """Return the block of the sum, or raise `InvalidRequest` if it cannot be compressed."""
        if self._error:
            raise InvalidRequest(self._error)
        return self._pushed[ALL_RANKS][0]

    def blocks(self) -> Iterator[Block]:
        """Yield the block of the sum, or those of the contributions in order of rank."""
        for rank in sorted(self._pushed):
            yield self._pushed[rank][0]

    def close(self) -> None:
        """Give all memory back."""
        for block in self.blocks():
            block.drop()
        self._pushed = {}

    def export(self) -> dict[str, Any]:
        return {"ranks": sorted(self._pushed), "error": self._error}

    def restore(self, fields: dict[str, Any], blocks: Iterator[Block]) -> None:
        self._error = fields["error"]
        for rank in fields["ranks"]:
            block = next(blocks)
            message = decoded(block.data.data, "a restored message")
            self._pushed[rank], self._shape = (block, message), Shape.of(message)

    def _complete(self) -> None:
        """Replace the contributions by their sum; without memory for it, nothing changes."""
        ranks = range(self._settings.world_size)
        blocks = [self._pushed[rank][0] for rank in ranks]
        first, *others = messages = [self._pushed[rank][1] for rank in ranks]
        shape = Shape.of(first)
        # In place of rank 0's contribution, unless that is compressed, or a snapshot reads it.
        is_in_place = first.vector.dtype == shape.dtype and not blocks[0].is_shared
        if is_in_place and self._settings.compression == "none":
            total = blocks[0]
        else:
            total = self._memory.take(message_bytes(*shape))
        draft = Draft(*shape, total.data)
        if total is not blocks[0]:
            draft.vector[:], draft.trailer[:] = first.vector, first.trailer
        message, _ = draft.finish(pause=any(each.pause for each in messages), others=others)
        summed = self._compressed(total, message)
        self._pushed = {} if summed is None else {ALL_RANKS: summed}
        for block in blocks:
            if block is not total:
                block.drop()

    def _compressed(self, total: Block, message: Message) -> tuple[Block, Message] | None:
        """Return the sum as it is sent; None with the reason in ``_error``."""
        if self._settings.compression == "none" or message.vector.dtype != np.float32:
            return total, message
        try:
            data = encode(message, "float16")
            sent = self._memory.take(len(data))
        except CompressionError as error:  # of the sum: nobody's push was wrong
            self._error = str(error)
            return None
        finally:
            total.drop()
        sent.data[:] = np.frombuffer(data, np.uint8)
        return sent, decoded(sent.data.data, "the sum")

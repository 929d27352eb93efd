"""The bulk-synchronous rule: a step is complete when all ranks have pushed; all get its sum."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from comm.wire import Message
from ps_server.protocol.calls import ALL_RANKS, Pushed, StepStatus
from ps_server.protocol.refusals import StepForgotten
from ps_server.state.memory import Block
from ps_server.state.rules import Rule
from ps_server.state.step_sum import StepSum
from stepml.job.step import Step

_FRONTIERS = 64  # attempts at epochs; older ones have ended
_NEVER_EVICTED = 2  # the newest steps of a job: ranks are at most one apart


class Sums(Rule):
    """The steps of a bulk-synchronous job."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._steps: dict[Step, StepSum] = {}
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
                held = StepSum(self.settings.world_size, self.settings.compression, self.memory)
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
            # Such as no memory: some ranks may have been added, so all ranks push again.
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
            held = StepSum(self.settings.world_size, self.settings.compression, self.memory)
            held.restore(described, blocks)
            self._steps[Step(epoch, batch)] = held
        for attempt, epoch, batch in fields["frontiers"]:
            self._frontiers[attempt, epoch] = batch
        self._reached = dict(fields["reached"])

    def _is_through(self, step: Step) -> bool:
        """Return whether all ranks have pulled this step's sum, or a later one."""
        reached = self._reached.get(step.epoch)
        return reached is not None and min(reached) >= step.batch

    def _refuse_behind(self, step: Step, attempt: str) -> None:
        # One step behind is allowed: a rank that has that step's sum may still give it back.
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

"""The exchange of one step: every rank contributes, somebody merges, everybody collects.

**Publish-once.** Contributions and aggregates are published, not saved: a repeated or zombie rank
gets the first value. BLAS results differ between thread counts and CPU kernels, so overwriting
could make ranks diverge in silence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from comm.wire import Message, decode, encode
from stepml.job import keys
from stepml.job.errors import DamagedValueError, MissingContributionError
from stepml.job.step import Step
from storage import Storage


@dataclass(frozen=True, slots=True)
class Group:
    """The workers of a job."""

    job_id: str  # names this run; every key contains it
    world_size: int  # number of workers


class Exchange(Protocol):
    """One pattern of exchange over one channel."""

    def contribute(self, step: Step, rank: int, message: Message) -> Message:
        """Publish what ``rank`` has for ``step``; return what counts: the first value published."""

    def has_contributed(self, step: Step, rank: int) -> bool:
        """Return whether the contribution of ``rank`` is there and whole; a damaged one goes."""

    def merge(self, step: Step) -> Message:
        """Publish and return the sum of all ranks' contributions.

        Raises
        ------
        MissingContributionError
            Naming the ranks that have not contributed.
        DamagedValueError
            A contribution is not what its rank wrote.
        """

    def collect(self, step: Step) -> Message:
        """Return the aggregate of ``step``."""

    def release(self, step: Step) -> None:
        """Delete what ``step`` left, once no rank can need it again."""


@dataclass(frozen=True, slots=True)
class OrchestratedReduce:
    """``reduce`` with the state machine as the barrier: one merger, after all ranks are done.

    Nobody waits, so nobody is billed for waiting.
    """

    group: Group
    channel: Storage

    def contribute(self, step: Step, rank: int, message: Message) -> Message:
        key = keys.contribution(self.group.job_id, step, rank)
        return decode(self.channel.publish(key, encode(message)), key)

    def has_contributed(self, step: Step, rank: int) -> bool:
        key = keys.contribution(self.group.job_id, step, rank)
        found = self.channel.load_many([key])
        try:
            return key in found and bool(decode(found[key], key))
        except DamagedValueError:
            self.channel.delete(key)  # publish would keep the damaged value for ever
            return False

    def merge(self, step: Step) -> Message:
        merged = encode(sum_in_rank_order(self._contributions(step)))
        key = keys.aggregate(self.group.job_id, step)
        try:
            return decode(self.channel.publish(key, merged), key)
        except DamagedValueError:  # the first one; publishing would keep it for ever
            self.channel.delete(key)
            return decode(self.channel.publish(key, merged), key)

    def collect(self, step: Step) -> Message:
        key = keys.aggregate(self.group.job_id, step)
        return decode(self.channel.load(key), key)

    def release(self, step: Step) -> None:
        ranks = range(self.group.world_size)
        contributions = [keys.contribution(self.group.job_id, step, rank) for rank in ranks]
        self.channel.delete_many([*contributions, keys.aggregate(self.group.job_id, step)])

    def _contributions(self, step: Step) -> list[Message]:
        ranks = range(self.group.world_size)
        names = [keys.contribution(self.group.job_id, step, rank) for rank in ranks]
        found = self.channel.load_many(names)
        missing = [rank for rank, name in zip(ranks, names, strict=True) if name not in found]
        if missing:
            raise MissingContributionError(missing, str(step))
        return [decode(found[name], name) for name in names]


def sum_in_rank_order(contributions: list[Message]) -> Message:
    """Return the sum by which every channel and pattern gets the same bits.

    A copy of rank 0's numbers, then ``+=`` in rank order, in the numbers' own dtype. Contributors
    weight their vector before they publish it, so this sum is a weighted mean.
    """
    first, *others = contributions
    vector, trailer = np.array(first.vector), np.array(first.trailer)
    for rank, other in enumerate(others, start=1):
        if (other.vector.shape, other.trailer.shape) != (vector.shape, trailer.shape):
            raise DamagedValueError(
                f"rank {rank} contributed {other.vector.size} + {other.trailer.size} numbers, "
                f"rank 0 {vector.size} + {trailer.size}"
            )
        vector += other.vector
        trailer += other.trailer
    return Message(vector, trailer)

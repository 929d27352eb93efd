"""A rule turns the pushes of a job into its pulls; without locks, waits or sockets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np

from comm.wire import Draft, Message, decode
from ps_server.protocol.calls import JobSettings, Pushed, StepStatus
from ps_server.protocol.refusals import DamagedVector
from ps_server.state.memory import Block, Bytes, Memory
from stepml.job.errors import DamagedValueError
from stepml.job.step import Step


class Rule(ABC):
    """The steps of one job; its owner holds the job's lock in every call.

    Parameters
    ----------
    settings : JobSettings
    memory : Memory
        For new blocks.
    """

    def __init__(self, settings: JobSettings, memory: Memory) -> None:
        self.settings = settings
        self.memory = memory
        self.is_restored = False  # acknowledged pushes may be missing

    @abstractmethod
    def needs(self, step: Step, rank: int, attempt: str) -> bool:
        """Return whether a push would count, and is no repetition.

        Raises `StepForgotten` if it comes too late: the other ranks are past the step.
        """

    @abstractmethod
    def push(
        self, step: Step, rank: int, attempt: str, block: Block, message: Message, based_on: int
    ) -> Pushed:
        """Apply a rank's ``message``, which is in ``block``; the block belongs to the rule now.

        A push that is refused, or fails, changes nothing and gives the block back.
        """

    @abstractmethod
    def repeated(self, step: Step, rank: int) -> Pushed:
        """Return the answer to a push that counted before."""

    @abstractmethod
    def missing(self, step: Step, rank: int, attempt: str) -> list[int]:
        """Return the ranks for which a pull waits; raise `StepForgotten` if they will not come."""

    @abstractmethod
    def wakes(self, step: Step) -> bool:
        """Return whether a push to ``step`` may end waits."""

    @abstractmethod
    def pulled(self, step: Step, rank: int) -> Block:
        """Return the block of a sum or model that is ready; the caller drops it."""

    @abstractmethod
    def status(self, step: Step) -> StepStatus:
        """Return the ranks that have pushed to a step."""

    @abstractmethod
    def frontier(self, attempt: str, epoch: int) -> int:
        """Return the furthest batch of an attempt to which a rank has pushed."""

    @abstractmethod
    def forget(self, through: Step) -> None:
        """Drop the steps of an epoch up to ``through``."""

    @abstractmethod
    def reset(self, epoch: int) -> None:
        """Drop all steps of an epoch; 0: of all epochs."""

    @abstractmethod
    def evict(self) -> bool:
        """Drop steps that all ranks are past; return whether there were any."""

    @abstractmethod
    def blocks(self) -> Iterator[Block]:
        """Yield all blocks."""

    @property
    @abstractmethod
    def n_steps(self) -> int:
        """Number of steps or models."""

    @abstractmethod
    def export(self) -> tuple[dict[str, Any], list[Block]]:
        """Return plain fields and blocks for `restore`; the blocks are held for a snapshot."""

    @abstractmethod
    def restore(self, fields: dict[str, Any], blocks: Iterator[Block]) -> None:
        """Restore exported fields and blocks; the blocks belong to the rule now."""

    def close(self) -> None:
        """Give all memory back."""
        self.reset(0)


def decoded(block: Block, name: str, checksum: int | None = None) -> Message:
    """Return the message in a block as views, or raise `DamagedVector`; see `decode`."""
    try:
        return decode(block.data.data, name, checksum, widen=False)
    except DamagedValueError as error:
        raise DamagedVector(str(error)) from None


def draft_over(data: Bytes, message: Message) -> Draft:
    """Return a draft of ``message``, which was decoded from ``data``, to change it in place."""
    return Draft(message.vector.size, message.vector.dtype, message.trailer.size, data)


def require_like(message: Message, first: Message, name: str) -> None:
    """Raise `DamagedVector` if two messages cannot be added."""
    if _shape(message) != _shape(first):
        raise DamagedVector(f"{name}: expected {_told(first)}, got {_told(message)}")


def _shape(message: Message) -> tuple[int, int, np.dtype[Any]]:
    dtype = message.vector.dtype
    added = np.dtype(np.float32) if dtype == np.float16 else dtype  # as what it is added
    return message.vector.size, message.trailer.size, added


def _told(message: Message) -> str:
    return f"{message.vector.size} {message.vector.dtype} + {message.trailer.size} numbers"

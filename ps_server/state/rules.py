"""What a rule is: how pushes of a job become what is pulled. No locks, no waiting, no sockets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np

from comm.wire import Message, decode
from ps_server.protocol.calls import JobSettings, Pushed, StepStatus
from ps_server.protocol.refusals import DamagedVector
from ps_server.state.memory import Block, Memory
from stepml.job.errors import DamagedValueError
from stepml.job.step import Step


class Rule(ABC):
    """The steps of one job. Its owner sees to it that only one thread is in here.

    Parameters
    ----------
    settings : JobSettings
    memory : Memory
        Where blocks come from.
    """

    def __init__(self, settings: JobSettings, memory: Memory) -> None:
        self.settings = settings
        self.memory = memory
        self.is_restored = False  # what was acknowledged lately may be missing

    @abstractmethod
    def needs(self, step: Step, rank: int, attempt: str) -> bool:
        """Return whether a push would count; it would not if it is a repetition.

        Raises
        ------
        StepForgotten
            It comes too late: the others are further, and what it would lead to is gone.
        """

    @abstractmethod
    def push(
        self, step: Step, rank: int, attempt: str, block: Block, message: Message, based_on: int
    ) -> Pushed:
        """Take what a rank has for a step; the block belongs to this now.

        ``message`` is what lies in ``block``. What is refused, or fails, has changed nothing, and
        the block is given back.
        """

    @abstractmethod
    def repeated(self, step: Step, rank: int) -> Pushed:
        """Return the answer to a push that counted before."""

    @abstractmethod
    def missing(self, step: Step, rank: int, attempt: str) -> list[int]:
        """Return the ranks that a pull has to wait for.

        Raises
        ------
        StepForgotten
            They will not come.
        """

    @abstractmethod
    def wakes(self, step: Step) -> bool:
        """Return whether a push to ``step`` may have ended waits."""

    @abstractmethod
    def pulled(self, step: Step, rank: int) -> Block:
        """Return what a pull gets that waits for nobody; the caller drops it."""

    @abstractmethod
    def status(self, step: Step) -> StepStatus:
        """Return who has pushed to a step."""

    @abstractmethod
    def frontier(self, attempt: str, epoch: int) -> int:
        """Return the furthest batch that a rank has pushed to in this attempt."""

    @abstractmethod
    def forget(self, through: Step) -> None:
        """Let go of the steps of an epoch up to ``through``."""

    @abstractmethod
    def reset(self, epoch: int) -> None:
        """Let go of all of an epoch, or with 0 of everything."""

    @abstractmethod
    def evict(self) -> bool:
        """Let go of what will hardly be asked for again; return whether there was something."""

    @abstractmethod
    def blocks(self) -> Iterator[Block]:
        """Yield all blocks."""

    @property
    @abstractmethod
    def n_steps(self) -> int:
        """Steps that are held."""

    @abstractmethod
    def export(self) -> tuple[dict[str, Any], list[Block]]:
        """Return what `restore` needs: plain fields, and blocks held for a snapshot."""

    @abstractmethod
    def restore(self, fields: dict[str, Any], blocks: Iterator[Block]) -> None:
        """Become what was exported; the blocks belong to this now."""

    def close(self) -> None:
        """Give all memory back."""
        self.reset(0)


def decoded(block: Block, name: str, checksum: int | None = None) -> Message:
    """Return the message in a block, or raise `DamagedVector`; parameters as of `decode`.

    Views, so that nothing is held that is not counted: compressed numbers stay as they are.
    """
    try:
        message = decode(block.data.data, name, checksum, widen=False)
    except DamagedValueError as error:
        raise DamagedVector(str(error)) from None
    return message


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

"""A rule turns the pushes of a job into its pulls; without locks, waits or sockets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from comm.wire import Message, decode
from ps_server.protocol.calls import JobSettings, Pushed, StepStatus, Target
from ps_server.protocol.refusals import DamagedVector
from ps_server.state.memory import Block, Memory
from stepml.job.errors import DamagedValueError
from stepml.job.step import Step


class Rule(ABC):
    """The steps, or models, of one job; its owner holds the job's lock in every call."""

    def __init__(self, settings: JobSettings, memory: Memory) -> None:
        self.settings = settings
        self.memory = memory
        self.is_restored = False  # acknowledged pushes may be missing

    @abstractmethod
    def repeated(self, target: Target) -> Pushed | None:
        """Return the answer to a push that counted before, or None for a new one.

        Raises `StepForgotten` if it comes too late: the other ranks are past the step.
        """

    @abstractmethod
    def push(self, target: Target, block: Block, message: Message) -> Pushed:
        """Apply a rank's ``message``, which is in ``block``; the block belongs to the rule now.

        A push that is refused, or fails, changes nothing and gives the block back.
        """

    @abstractmethod
    def missing(self, target: Target) -> list[int]:
        """Return the ranks for which a pull waits; raise `StepForgotten` if they will not come."""

    @abstractmethod
    def wakes(self, step: Step) -> bool:
        """Return whether a push to ``step`` may end waits."""

    @abstractmethod
    def pulled(self, target: Target) -> Block:
        """Return the block of a sum or model that is ready; the caller drops it."""

    @abstractmethod
    def status(self, step: Step) -> StepStatus: ...
    @abstractmethod
    def frontier(self, attempt: str, epoch: int) -> int:
        """Return the furthest batch of an attempt to which a rank has pushed."""

    def forget(self, through: Step) -> None:  # noqa: B027 — a model has no steps to drop
        """Drop the steps of an epoch up to ``through``."""

    @abstractmethod
    def reset(self, epoch: int) -> None:
        """Drop all steps of an epoch; 0: of all epochs."""

    def evict(self) -> bool:
        """Drop steps that all ranks are past; return whether there were any."""
        return False

    @abstractmethod
    def blocks(self) -> Iterator[Block]: ...
    @property
    @abstractmethod
    def n_steps(self) -> int:
        """Number of steps or models."""

    def figures(self) -> dict[str, int]:
        """Return the fields of `JobStatistics` about updates."""
        return dict.fromkeys(("updates", "staleness_sum", "staleness_max", "lost_updates"), 0)

    @abstractmethod
    def export(self) -> dict[str, Any]:
        """Return plain fields, with which `restore` makes the rule from its `blocks`."""

    @abstractmethod
    def restore(self, fields: dict[str, Any], blocks: Iterator[Block]) -> None:
        """Restore exported fields and blocks; the blocks belong to the rule now."""


def decoded(data: memoryview, name: object, checksum: int | None = None) -> Message:
    """Return the message in ``data`` as views, or raise `DamagedVector`; see `decode`."""
    try:
        return decode(data, name, checksum, widen=False)
    except DamagedValueError as error:
        raise DamagedVector(str(error)) from None


class Shape(NamedTuple):
    """The shape of messages that can be added."""

    size: int
    dtype: np.dtype[Any]
    n_trailer: int

    @classmethod
    def of(cls, message: Message) -> Shape:
        dtype = message.vector.dtype
        added = np.dtype(np.float32) if dtype == np.float16 else dtype  # as what it is added
        return cls(message.vector.size, added, message.trailer.size)

    def require(self, found: Shape, name: object) -> None:
        """Raise `DamagedVector` for the shape of another message."""
        if found != self:
            raise DamagedVector(f"{name}: expected {self}, got {found}")

    def __str__(self) -> str:
        return f"{self.size} {self.dtype} + {self.n_trailer} numbers"

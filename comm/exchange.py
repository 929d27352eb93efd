"""The exchanges: their participants, keys and promises.

Every rank contributes to a step, the contributions are merged, every rank collects the sum.

**Publish-once.** Contributions and aggregates are published, not saved: a repeated or zombie rank
gets the first value. BLAS results differ between thread counts and CPU kernels, so overwriting
could let ranks diverge unnoticed.

Each exchange has two implementations: in this package over any `Storage`, where ranks merge and
poll, and in ``ps_server.client`` over a parameter server, which adds and wakes the ranks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from comm.wire import Message, Shape, Vector, decode, encode
from stepml.job import keys
from stepml.job.step import Step
from storage.base import Buffer

Floats = npt.NDArray[np.float64]

# Numbers of a shared model's trailer before `applied`: version, staleness (sum, max), lost.
SHARED_HEAD = 4


def watch_nothing() -> None:
    """Let a wait go on."""


@dataclass(frozen=True, slots=True)
class Workers:
    """The workers of one run of a job."""

    prefix: str  # of all keys of this run: keys.exchange_prefix
    world_size: int  # number of workers

    def contribution(self, step: Step, rank: int, chunk: int) -> str:
        """Return the key of the contribution of ``rank`` to a chunk."""
        return keys.contribution(self.prefix, step, chunk, rank)

    def contributions(self, step: Step, chunk: int) -> list[str]:
        """Return the keys of all contributions to a chunk, by rank."""
        return [self.contribution(step, rank, chunk) for rank in range(self.world_size)]

    def aggregate(self, step: Step, chunk: int) -> str:
        """Return the key of a chunk's sum."""
        return keys.aggregate(self.prefix, step, chunk)


class InFlightExchange(ABC):
    """One rank's exchange in a job whose ranks wait for each other at every step.

    Attributes
    ----------
    timeout_s : float
        Longest wait for the other ranks.
    """

    timeout_s: float

    @abstractmethod
    def all_reduce(self, step: Step, message: Message, into: Vector | None = None) -> Message:
        """Contribute ``message`` and return the sum of all ranks' contributions.

        The arrays of the sum stay valid until the next but one call. Its vector may be ``into``,
        which may be the message's own vector: then that is overwritten, even if the call fails.
        ``pause`` of the sum is set if that of any contribution is: all ranks stop after this step.

        Raises
        ------
        WaitTimeoutError
            Names the ranks that have not contributed.
        ReplayLostError
            The others have finished this step, and its sum is gone.
        """

    @abstractmethod
    def replay(self, step: Step) -> Message | None:
        """Return the sum of an earlier step, or None if there is none (any more)."""

    @abstractmethod
    def forget(self, steps: Iterable[Step]) -> None:
        """Delete the sums of ``steps``, all steps of an epoch up to some batch.

        No rank will replay them.
        """

    def close(self) -> None:  # noqa: B027 — optional: a parameter server needs no such call
        """Delete the values that the exchange has noted as not needed any more."""

    @abstractmethod
    def withdraw(self) -> None:
        """Delete the values that this rank has published.

        If another copy of the rank still needs them, that copy publishes them again.
        """


class OrchestratedExchange(ABC):
    """The exchange of ranks that contribute and return; the state machine is the barrier."""

    __slots__ = ()

    @abstractmethod
    def contribute(self, step: Step, rank: int, message: Message) -> None:
        """Publish the contribution of ``rank`` to ``step``; a repetition changes nothing."""

    @abstractmethod
    def has_contributed(self, step: Step, rank: int, shape: Shape | None = None) -> bool:
        """Return whether ``rank`` has contributed; damaged contributions are deleted.

        So are those of another version, whose ``shape`` differs. A parameter server has none that
        are damaged, and refuses to add different ones.
        """

    @abstractmethod
    def withdraw(self, step: Step, rank: int) -> None:
        """Delete the contribution of ``rank``, which came too late to be cleared with its epoch."""

    @abstractmethod
    def sum(self, step: Step) -> Message:
        """Return the sum of all ranks' contributions.

        Raises
        ------
        MissingContributionError
            Naming the ranks that have not contributed.
        DamagedValueError
            A contribution is damaged.
        """

    @abstractmethod
    def release(self, step: Step) -> None:
        """Delete the values of ``step``, once no rank can need them again."""


@dataclass(frozen=True, slots=True, eq=False)
class SharedState:
    """The state of a model that all ranks change.

    Attributes
    ----------
    vector : array of shape (n,)
        The parameters; read-only.
    version : int
        Number of updates applied so far.
    applied : array of shape (world_size,)
        The last applied update of each rank.
    totals : array of shape (k,)
        Sums of the numbers that come with the updates, such as losses and rows.
    staleness_sum, staleness_max : int
        Staleness: the updates of others between a rank's pull and its push.
    lost : int
        Updates that a restarted parameter server lost although later ones of the same rank count;
        no other channel continues without them.
    """

    vector: Vector
    version: int
    applied: Floats
    totals: Floats
    staleness_sum: int
    staleness_max: int
    lost: int = 0

    @property
    def staleness_mean(self) -> float:
        """Mean staleness of all updates."""
        return self.staleness_sum / max(1, self.version)

    @classmethod
    def parse(cls, data: Buffer, name: str, world_size: int) -> SharedState:
        """Return the state in ``data``, or raise `DamagedValueError`."""
        return cls.of(decode(data, name), world_size)

    @classmethod
    def of(cls, message: Message, world_size: int) -> SharedState:
        """Return the state in ``message``."""
        head, applied, totals = np.split(message.trailer, [SHARED_HEAD, SHARED_HEAD + world_size])
        version, staleness_sum, staleness_max, lost = (int(each) for each in head)
        return cls(message.vector, version, applied, totals, staleness_sum, staleness_max, lost)

    def pack(self) -> memoryview:
        """Return the state as bytes, for `parse`."""
        head = [self.version, self.staleness_sum, self.staleness_max, self.lost]
        return encode(Message(self.vector, np.concatenate([head, self.applied, self.totals])))

    @staticmethod
    def trailer_size(world_size: int, n_totals: int) -> int:
        """Return the length of the trailer."""
        return SHARED_HEAD + world_size + n_totals


class SharedModelExchange(ABC):
    """One rank's access to the shared model of an epoch."""

    @abstractmethod
    def create(self, vector: Vector, n_totals: int = 0) -> None:
        """Make ``vector`` the shared model, unless there is one already.

        Parameters
        ----------
        vector : array of shape (n,)
        n_totals : int
            Numbers that come with every update.

        Raises
        ------
        ModelTooLargeError
            The channel cannot hold it.
        """

    @abstractmethod
    def pull(self) -> SharedState:
        """Return the model as it is now, or raise `SharedModelLostError`."""

    @abstractmethod
    def push(
        self,
        sequence: int,
        pulled: SharedState,
        change: Callable[[Vector], None],
        totals: Sequence[float] = (),
    ) -> SharedState:
        """Apply one update and return the model with it; a repetition changes nothing.

        Parameters
        ----------
        sequence : int
            This rank's number of the update, from 1 on.
        pulled : SharedState
            The state from which the update was computed.
        change : callable
            Changes a vector in place; may be called several times.
        totals : sequence of float
            Added to the totals, once.

        Raises
        ------
        SharedModelLostError
            The channel has lost the model. It is not made again from an older copy: that would
            lose the updates of others unnoticed.
        """

    @abstractmethod
    def has_lost_updates(self, state: SharedState) -> bool:
        """Return whether acknowledged updates may be missing from ``state``."""

    @abstractmethod
    def release(self) -> None:
        """Delete the values of the epoch, once no rank can need them again."""

    def abandon(self) -> None:
        """Delete the values of an epoch that ends early."""
        self.release()

"""What an algorithm is: what one rank does in an epoch, and what it needs of the others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from stepml.ml.models.base import Array, Floats, Model

Sums = npt.NDArray[np.float64]


def never() -> bool:
    """Return that there is no need to pause."""
    return False


@dataclass(frozen=True, slots=True, eq=False)
class Progress:
    """How far a rank is in its epoch; in flight, how far all ranks are."""

    parameters: Floats  # (n_parameters,)
    batches_done: int = 0
    loss_sum: float = 0.0  # over the rows seen, each before its batch's step
    rows_seen: int = 0
    finished: bool = False

    @property
    def training_loss(self) -> float:
        """Mean loss of the rows seen."""
        return self.loss_sum / self.rows_seen


class OrchestratedAlgorithm(ABC):
    """Each rank trains alone for an epoch; the sum of what they give becomes the next state."""

    @abstractmethod
    def train(
        self,
        model: Model,
        progress: Progress,
        X: Floats,
        y: Floats,
        seed: tuple[int, ...],
        must_pause: Callable[[], bool] = never,
    ) -> Progress:
        """Return the rank's progress at the end of the epoch, or where ``must_pause`` stopped it.

        Parameters
        ----------
        model : Model
        progress : Progress
            Where to begin: the epoch's common parameters, or an earlier call's result.
        X : array of shape (n_samples, n_features)
        y : array of shape (n_samples,), from `Model.targets`
        seed : tuple of int
            Names the rank's epoch: the same seed takes the batches in the same order.
        must_pause : callable
            Asked before every batch but the first of a call, so that each call gets further.
        """

    @abstractmethod
    def contribution(self, progress: Progress, weight: float) -> tuple[Floats, Sums]:
        """Return what a rank gives to the exchange: a vector to be summed, and float64 sums.

        Parameters
        ----------
        progress : Progress
            Of a finished epoch.
        weight : float
            The rank's share of all training rows.
        """

    @abstractmethod
    def next_state(self, vector: Floats, trailer: Sums) -> tuple[Floats, float]:
        """Return the common parameters and the mean training loss from the sum of contributions."""


class Aggregate(Protocol):
    """The sum of what all ranks gave for a batch; the same bits for every rank."""

    @property
    def vector(self) -> Array: ...
    @property
    def trailer(self) -> Array: ...
    @property
    def pause(self) -> bool:
        """Whether a rank asked to stop after this batch."""


class AllReduce(Protocol):
    """What an algorithm that is exchanged in flight needs of its peers."""

    def all_reduce(self, batch: int, vector: Floats, trailer: Sums, pause: bool) -> Aggregate:
        """Give this rank's part of ``batch`` (from 1), wait for the others', return the sum.

        What is given may be overwritten after the call.
        """

    def replay(self, batch: int) -> Aggregate | None:
        """Return the sum of a batch that the ranks are through with, or None if they are not."""


class SharedState(Protocol):
    """A model that all ranks change in turn, at one moment."""

    @property
    def vector(self) -> Array: ...
    @property
    def applied(self) -> Array:
        """The last update of each rank that it has, by rank."""


State = TypeVar("State", bound=SharedState)


class Shared(Protocol[State]):
    """What an algorithm whose ranks do not wait for each other needs of its peers."""

    def pull(self) -> State:
        """Return the model as it is now."""

    def push(
        self, sequence: int, pulled: State, change: Callable[[Array], None], told: Sequence[float]
    ) -> State:
        """Apply this rank's update number ``sequence`` (from 1) once; return the model with it."""


class AsynchronousAlgorithm(ABC):
    """Each rank changes one shared model as fast as it can, and waits for nobody's batch."""

    @abstractmethod
    def n_batches(self, shard_rows: Sequence[int]) -> int:
        """Return how many updates each rank makes in an epoch."""

    @abstractmethod
    def train(
        self,
        model: Model,
        X: Floats,
        y: Floats,
        *,
        rank: int,
        shard_rows: Sequence[int],
        seed: tuple[int, ...],
        shared: Shared[Any],
        must_pause: Callable[[], bool] = never,
    ) -> bool:
        """Make this rank's updates of an epoch; return whether all are made.

        Those that the shared model has already are not made again. Parameters as of
        `InFlightAlgorithm.steps`; ``must_pause`` is asked before every update but the first of a
        call.
        """


class InFlightAlgorithm(ABC):
    """Ranks exchange after every batch; each keeps a replica, and all replicas stay equal."""

    @abstractmethod
    def n_batches(self, shard_rows: Sequence[int]) -> int:
        """Return how often ranks with shards of so many rows exchange in an epoch."""

    @abstractmethod
    def steps(
        self,
        model: Model,
        progress: Progress,
        X: Floats,
        y: Floats,
        *,
        rank: int,
        shard_rows: Sequence[int],
        seed: tuple[int, ...],
        exchange: AllReduce,
        must_pause: Callable[[], bool] = never,
    ) -> Iterator[Progress]:
        """Yield the progress after each step, to the end of the epoch or of the step to pause at.

        The parameters yielded are those that the next step changes: keep a copy of them.

        Parameters
        ----------
        model : Model
        progress : Progress
            Where to begin: the epoch's common parameters, or any that were yielded, by any rank.
            Batches behind it that the ranks are through with are replayed.
        X : array of shape (n_samples, n_features)
        y : array of shape (n_samples,), from `Model.targets`
        rank : int
        shard_rows : sequence of int
            Rows of each rank's shard, by rank.
        seed : tuple of int
            Names the epoch; the same for all ranks.
        exchange : AllReduce
        must_pause : callable
            Asked before each contribution: this rank has to stop soon. All ranks stop after the
            same step, so that they come back together.
        """

"""What an algorithm is: what one rank does in an epoch, and what it needs of the others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from stepml.ml.models.base import Array, Floats, Matrix, Model

Sums = npt.NDArray[np.float64]
Extras = Mapping[str, Array]

M = TypeVar("M", bound=Model)


def never() -> bool:
    """Return that there is no need to pause."""
    return False


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """Where training stands between two epochs; the same for all ranks."""

    parameters: Floats  # (n_parameters,) of the model
    extras: Extras = field(default_factory=dict)  # what else the algorithm carries on, by name


@dataclass(frozen=True, slots=True)
class RankEpoch:
    """One rank's part in one epoch of a job."""

    epoch: int  # from 1
    rank: int
    shard_rows: tuple[int, ...]  # of each rank, by rank
    seed: int  # of the job's data

    @property
    def world_size(self) -> int:
        """Workers of the job."""
        return len(self.shard_rows)

    @property
    def weight(self) -> float:
        """The rank's share of all training rows."""
        return self.shard_rows[self.rank] / sum(self.shard_rows)

    def generator(self, *path: int) -> np.random.Generator:
        """Return random numbers that seed, epoch and ``path`` name."""
        return np.random.Generator(np.random.PCG64([self.seed, self.epoch, *path]))


@dataclass(frozen=True, slots=True, eq=False)
class RankProgress:
    """How far a rank is in its epoch; in flight, how far all ranks are."""

    parameters: Floats  # (n_parameters,)
    batches_done: int = 0
    loss_sum: float = 0.0  # over the rows seen, each before its batch's step
    rows_seen: int = 0
    finished: bool = False
    extras: Extras = field(default_factory=dict)  # what else the algorithm needs to go on

    @property
    def training_loss(self) -> float:
        """Mean loss of the rows seen."""
        return self.loss_sum / self.rows_seen

    @property
    def loss(self) -> Sums:
        """The sum of losses and the rows seen, (2,), as they are added over ranks."""
        return np.array([self.loss_sum, self.rows_seen], np.float64)

    @property
    def state(self) -> State:
        """What an epoch in flight ends with."""
        return State(self.parameters, self.extras)


@dataclass(frozen=True, slots=True)
class Residuals:
    """How far ADMM's ranks are from agreeing, and its consensus from resting; with the tolerances.

    Boyd et al. 2011, section 3.3.1.
    """

    primal: float
    primal_tolerance: float
    dual: float
    dual_tolerance: float

    @property
    def are_small(self) -> bool:
        """Whether the algorithm has converged."""
        return self.primal <= self.primal_tolerance and self.dual <= self.dual_tolerance


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What an epoch of an orchestrated algorithm ends with."""

    state: State
    training_loss: float
    converged: str | None = None  # why the algorithm itself says that it is at its end
    residuals: Residuals | None = None  # admm: of the epoch before


class Algorithm(ABC, Generic[M]):
    """What all algorithms define.

    Attributes
    ----------
    way : str
        How ranks exchange: the name of one of `lambdas.epochs.WAYS`.
    bytes_per_parameter : int
        In memory while a rank trains, or its contribution is merged.
    keeps_rank_state : bool
        Whether a rank needs its result of an epoch in the next one.
    """

    way: ClassVar[str]
    bytes_per_parameter = 40
    keeps_rank_state = False

    def initial_state(self, model: M, parameters: Floats) -> State:
        """Return the state from which training starts."""
        return State(parameters)


class OrchestratedAlgorithm(Algorithm[M]):
    """Each rank trains alone for an epoch; the sum of all contributions is the next state."""

    way = "orchestrated"

    @abstractmethod
    def begin(
        self, model: M, state: State, rank_state: Extras, rank_epoch: RankEpoch
    ) -> RankProgress:
        """Return the progress with which a rank's epoch begins.

        Parameters
        ----------
        model : Model
        state : State
            That all ranks share: of the epoch before.
        rank_state : mapping
            The `rank_result` of the epoch before; empty in the first one, or if the algorithm has
            no state of a rank.
        rank_epoch : RankEpoch
        """

    @abstractmethod
    def train(
        self,
        model: M,
        progress: RankProgress,
        X: Matrix,
        y: Array,
        rank_epoch: RankEpoch,
        must_pause: Callable[[], bool] = never,
    ) -> RankProgress:
        """Return the rank's progress at the end of the epoch, or where ``must_pause`` stopped it.

        Parameters
        ----------
        model : Model
        progress : RankProgress
            Where to begin: from `begin`, or an earlier call's result.
        X : matrix of shape (n_samples, n_features)
        y : array of shape (n_samples, …), from `Model.targets`
        rank_epoch : RankEpoch
        must_pause : callable
            Asked before every batch but the first of a call, so that each call gets further.
        """

    @abstractmethod
    def rank_result(self, progress: RankProgress) -> Extras:
        """Return the arrays with which a rank ends an epoch."""

    @abstractmethod
    def contribution(self, rank_state: Extras, rank_epoch: RankEpoch) -> tuple[Array, Sums]:
        """Return what a rank gives to the exchange: a vector to be summed, and float64 sums.

        Parameters
        ----------
        rank_state : mapping
            The `rank_result` of the epoch; of several copies of a rank, that of the first one.
        rank_epoch : RankEpoch
        """

    @abstractmethod
    def next_state(
        self,
        model: M,
        state: State,
        vector: Array,
        trailer: Sums,
        rank_epoch: RankEpoch,
        sample: Sample,
    ) -> Outcome:
        """Return what the epoch ends with.

        Parameters
        ----------
        model : Model
        state : State
            Of the epoch before.
        vector, trailer : array
            The sums of all ranks' contributions.
        rank_epoch : RankEpoch
            Of any rank.
        sample : callable
            Returns training rows, for whoever needs some.
        """


Sample = Callable[[], Matrix]


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


S = TypeVar("S", bound=SharedState)


class Shared(Protocol[S]):
    """What an algorithm whose ranks do not wait for each other needs of its peers."""

    def pull(self) -> S:
        """Return the model as it is now."""

    def push(
        self, sequence: int, pulled: S, change: Callable[[Array], None], totals: Sequence[float]
    ) -> S:
        """Apply this rank's update number ``sequence`` (from 1) once; return the model with it."""


class SharedWithOptimiser(Shared[S], Protocol[S]):
    """A shared model with an optimiser of its own; a parameter server has one."""

    def push_gradient(
        self, sequence: int, pulled: S, gradient: Array, totals: Sequence[float]
    ) -> S:
        """Make a step from ``gradient`` with the model's optimiser; otherwise as `push`."""


class AsynchronousAlgorithm(Algorithm[M]):
    """Each rank changes one shared model as fast as it can, and waits for no other rank's batch."""

    way = "asynchronous"
    n_totals = 2  # numbers that go with an update: the sum of its rows' losses, and the rows

    @abstractmethod
    def n_updates(self, shard_rows: Sequence[int]) -> int:
        """Return how many updates each rank makes in an epoch."""

    @abstractmethod
    def train(
        self,
        model: M,
        X: Matrix,
        y: Array,
        rank_epoch: RankEpoch,
        shared: Shared[Any],
        must_pause: Callable[[], bool] = never,
    ) -> bool:
        """Make this rank's updates of an epoch; return whether all are made.

        Those that the shared model has already are not made again. Parameters as of
        `InFlightAlgorithm.steps`; ``must_pause`` is asked before every update but the first of a
        call.
        """


class InFlightAlgorithm(Algorithm[M]):
    """Ranks exchange after every batch; each has a replica, and all replicas stay equal."""

    way = "in_flight"

    @abstractmethod
    def n_batches(self, shard_rows: Sequence[int]) -> int:
        """Return how often ranks with shards of so many rows exchange in an epoch."""

    @abstractmethod
    def steps(
        self,
        model: M,
        progress: RankProgress,
        X: Matrix,
        y: Array,
        rank_epoch: RankEpoch,
        exchange: AllReduce,
        must_pause: Callable[[], bool] = never,
    ) -> Iterator[RankProgress]:
        """Yield the progress after each step, to the end of the epoch or of the step to pause at.

        The arrays yielded are those that the next step changes: keep a copy of them.

        Parameters
        ----------
        model : Model
        progress : RankProgress
            Where to begin: the epoch's common state, or any that was yielded, by any rank.
            Batches behind it that the ranks are through with are replayed.
        X : matrix of shape (n_samples, n_features)
        y : array of shape (n_samples, …), from `Model.targets`
        rank_epoch : RankEpoch
        exchange : AllReduce
        must_pause : callable
            Asked before each contribution: this rank has to stop soon. All ranks stop after the
            same step, so that they come back together.
        """

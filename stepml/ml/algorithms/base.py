"""The three kinds of algorithms, by the way in which their ranks exchange."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from stepml.ml.algorithms.peers import AllReduce, Shared
from stepml.ml.algorithms.state import Extras, Outcome, RankEpoch, RankProgress, State, Sums
from stepml.ml.models.base import Array, Floats, Matrix, Model

M = TypeVar("M", bound=Model)
Sample = Callable[[], Matrix]


def never() -> bool:
    """Return that there is no need to pause."""
    return False


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

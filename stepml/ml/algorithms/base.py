"""The three kinds of algorithms, by the way in which their ranks exchange."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from stepml.job.spec import JobSpec
from stepml.ml.algorithms.peers import AllReduce, Shared
from stepml.ml.algorithms.state import Extras, Outcome, RankEpoch, RankProgress, State, Sums
from stepml.ml.models.base import Array, Floats, Matrix, Model, Sample

M = TypeVar("M", bound=Model)

LabelledSample = Callable[[], tuple[Matrix, Array]]
"""Returns some training rows and their targets; they are loaded only if they are needed."""


def never() -> bool:
    """Return that there is no need to pause."""
    return False


class Algorithm(ABC, Generic[M]):
    """Base of all algorithms.

    Attributes
    ----------
    way : str
        How ranks exchange: the name of one of `lambdas.epochs.WAYS`.
    bytes_per_parameter : int
        In memory while a rank trains, or its contribution is merged; see `most_parameters`.
    keeps_rank_state : bool
        Whether a rank needs its result of an epoch in the next one.
    """

    way: ClassVar[str]
    waits_within_epochs: ClassVar[bool] = False  # ranks for each other, so all run at once
    bytes_per_parameter = 40
    keeps_rank_state = False

    @classmethod
    @abstractmethod
    def from_job(cls, job: JobSpec) -> Algorithm[Any]:
        """Return the algorithm of a job, in the variant for its pattern."""

    def initial_state(self, model: M, parameters: Floats, sample: LabelledSample) -> State:
        """Return the state from which training starts."""
        return State(parameters)

    def contribution_bytes(self, n_parameters: int) -> int:
        """Return the size of a rank's contribution, uncompressed."""
        return 4 * n_parameters

    def most_parameters(self, most_bytes: int) -> int:
        """Return the number of parameters for which ``most_bytes`` of memory are enough."""
        return most_bytes // self.bytes_per_parameter


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
            Of the epoch before; shared by all ranks.
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
            The start: from `begin`, or the result of an earlier call.
        X : matrix of shape (n_samples, n_features)
        y : array of shape (n_samples, …), from `Model.targets`
        rank_epoch : RankEpoch
        must_pause : callable
            Called before every batch but the first of a call, so that each call makes progress.
        """

    @abstractmethod
    def rank_result(self, progress: RankProgress) -> Extras:
        """Return the arrays with which a rank ends an epoch."""

    @abstractmethod
    def contribution_shape(self, model: M) -> tuple[int, int]:
        """Return the numbers in the vector and the sums of a contribution."""

    def knows(self, model: M, found: Extras) -> bool:
        """Return whether this version wrote the arrays of a rank: a result, or a progress's extras.

        Those of another version count as absent.
        """
        return True

    @abstractmethod
    def contribution(self, rank_state: Extras, rank_epoch: RankEpoch) -> tuple[Array, Sums]:
        """Return a rank's contribution to the exchange: a vector and float64 sums, to be added.

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
        """Return the end of the epoch.

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
            Returns some training rows.
        """


class AsynchronousAlgorithm(Algorithm[M]):
    """Each rank changes one shared model as fast as it can, and waits for no other rank's batch."""

    way = "asynchronous"
    n_totals = 2  # numbers that go with an update: the sum of its rows' losses, and the rows

    @abstractmethod
    def n_updates(self, shard_rows: Sequence[int]) -> int:
        """Return the number of updates that each rank makes in an epoch."""

    def shared_vector(self, model: M, state: State) -> Array:
        """Return the vector that the ranks share in an epoch which begins with ``state``."""
        return state.parameters

    def state_of(self, model: M, vector: Array) -> State:
        """Return the state in which an epoch ends with this shared ``vector``."""
        return State(vector)

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

        Updates that the shared model already has are skipped. The parameters are those of
        `InFlightAlgorithm.steps`. ``must_pause`` is called before every update but the first of a
        call.
        """


class InFlightAlgorithm(Algorithm[M]):
    """Ranks exchange after every batch; each has a replica, and all replicas stay equal."""

    way = "in_flight"
    waits_within_epochs = True

    @abstractmethod
    def n_batches(self, shard_rows: Sequence[int]) -> int:
        """Return the number of exchanges in an epoch, given the rows of each rank's shard."""

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
        """Yield the progress after each step, until the epoch ends or the ranks pause.

        The next step changes the yielded arrays in place; copy them to use them later.

        Parameters
        ----------
        model : Model
        progress : RankProgress
            The start: the epoch's common state, or a progress that any rank yielded.
            Later batches that the ranks have finished are replayed.
        X : matrix of shape (n_samples, n_features)
        y : array of shape (n_samples, …), from `Model.targets`
        rank_epoch : RankEpoch
        exchange : AllReduce
        must_pause : callable
            Called before each contribution; true if this rank must stop soon. All ranks stop after
            the same step, so that they resume together.
        """

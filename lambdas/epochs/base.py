"""The interface of the ways in which ranks exchange, and the results of their epochs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from lambdas.attempts.turns import Turns
from lambdas.attempts.watch import Watch
from lambdas.channels import JobChannel
from lambdas.epochs.runs import EpochRun, RankRun
from lambdas.job_store import TrainingPlan
from lambdas.logs import best_effort
from stepml.job.spec import JobSpec
from stepml.ml.algorithms import Algorithm, Residuals, State
from stepml.ml.algorithms.base import LabelledSample
from stepml.ml.models import Model
from stepml.ml.models.base import Floats

A = TypeVar("A", bound=Algorithm[Any])


@dataclass(frozen=True, slots=True)
class Trained:
    """Summary of one rank's finished epoch."""

    waited_s: float = 0.0  # for its peers
    digest: str = ""  # of its replica, if the epoch is exchanged in flight
    was_done: bool = False  # an earlier call had contributed
    loss: float | None = None  # mean over its batches (in flight: of all ranks); None: unknown


@dataclass(frozen=True, slots=True, eq=False)
class EpochEnd:
    """The state with which an epoch ends, and the measures that only its exchange knows."""

    state: State
    training_loss: float  # mean over the epoch's batches
    converged: str | None = None  # the reason, if the algorithm itself has converged
    residuals: Residuals | None = None  # admm
    lacks: str = ""  # what convergence lacks, if the algorithm has a criterion of its own
    empty_clusters: int | None = None  # expectation_maximisation
    staleness_mean: float | None = None  # asynchronous: of all updates
    staleness_max: int | None = None
    lost_updates: int | None = None  # over a parameter server


class Epochs(ABC, Generic[A]):
    """The epochs of a job whose ranks exchange in one way.

    Parameters
    ----------
    spec : JobSpec
    algorithm : Algorithm
    """

    # Whether contributions of finished ranks are of use to a redrive.
    keeps_contributions: ClassVar[bool] = False
    # Whether each attempt at an epoch has values of its own, which no other attempt needs.
    is_per_attempt: ClassVar[bool] = False

    def __init__(self, spec: JobSpec, algorithm: A) -> None:
        self.spec = spec
        self.algorithm = algorithm

    @property
    def waits_for_all(self) -> bool:
        """Whether ranks wait for each other within an epoch, so that all must run at once."""
        return self.algorithm.waits_within_epochs or self.spec.exchange.max_staleness is not None

    @property
    def chunks(self) -> list[int]:
        """The chunks that functions merge after the ranks; empty: the reducer merges, or nobody."""
        return []

    @property
    def n_chunks(self) -> int:
        """The number of chunks of a vector: at least one."""
        return len(self.chunks) or 1

    @property
    def keeps_rank_state(self) -> bool:
        """Whether ranks need their results of the last epoch."""
        return self.algorithm.keeps_rank_state

    def first_state(self, model: Model, parameters: Floats, sample: LabelledSample) -> State:
        """Return the state from which training starts."""
        return self.algorithm.initial_state(model, parameters, sample)

    @abstractmethod
    def require_room(self, plan: TrainingPlan, channel: JobChannel) -> None:
        """Raise an error if the channel has no room for the exchanges of the job."""

    @abstractmethod
    def train(self, run: RankRun) -> Trained:
        """Train one rank to the end of the epoch, and exchange.

        Raises
        ------
        ExecutorPausedError
            The deadline is near; the next call continues.
        PeerFailedError
            Another rank, for which this one would wait, has failed for good.
        AttemptStoppedError
            The execution has ended.
        """

    @abstractmethod
    def end(self, run: EpochRun) -> EpochEnd:
        """Return the end of the epoch, which all ranks have finished.

        Raises
        ------
        MissingContributionError, DamagedValueError
            The channel lost something: the epoch has to be trained again.
        """

    @abstractmethod
    def release(self, run: EpochRun) -> None:
        """Delete everything that the ranks exchanged in the epoch."""


def take_turn(run: RankRun, watch: Watch) -> None:
    """Take the turn for a job whose ranks wait for each other and lack functions.

    Raises
    ------
    AttemptStoppedError, PeerFailedError, ExecutorPausedError
        The peers do not come because the attempt, or the epoch, is over.
    """
    watch.look()
    with best_effort("take the turn", job_id=run.task.job_id):
        Turns(run.store.storage, run.store.job_id).take()

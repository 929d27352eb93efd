"""The state of training: between epochs, and of one rank within an epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from stepml.ml.models.base import Array, Draws, Floats

Sums = npt.NDArray[np.float64]
Extras = Mapping[str, Array]


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """The state of training between two epochs; the same for all ranks."""

    parameters: Floats  # (n_parameters,) of the model
    extras: Extras = field(default_factory=dict)  # other arrays of the algorithm, by name


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

    @property
    def draws(self) -> Draws:
        """The names of the rank's random draws."""
        return Draws(self.seed, self.epoch, self.rank, sum(self.shard_rows[: self.rank]))

    def generator(self, *path: int) -> np.random.Generator:
        """Return a random generator that depends on seed, epoch and ``path`` alone."""
        return np.random.Generator(np.random.PCG64([self.seed, self.epoch, *path]))


@dataclass(frozen=True, slots=True, eq=False)
class RankProgress:
    """The progress of a rank in its epoch; in flight, of all ranks."""

    parameters: Floats  # (n_parameters,)
    batches_done: int = 0
    loss_sum: float = 0.0  # over the rows seen, each before its batch's step
    rows_seen: int = 0
    finished: bool = False
    extras: Extras = field(default_factory=dict)  # other arrays of the algorithm, by name

    @property
    def training_loss(self) -> float:
        """Mean loss of the rows seen."""
        return self.loss_sum / self.rows_seen

    @property
    def loss(self) -> Sums:
        """Sum of losses and rows seen, (2,), to be added over ranks."""
        return np.array([self.loss_sum, self.rows_seen], np.float64)

    @property
    def state(self) -> State:
        """The state of an epoch in flight that ends here."""
        return State(self.parameters, self.extras)


@dataclass(frozen=True, slots=True)
class Residuals:
    """Residuals of ADMM: the ranks' disagreement and the change of their consensus.

    Boyd et al. 2011, section 3.3.1. The fall of the objective that is still in sight is relative
    to the objective.
    """

    primal: float
    primal_size: float  # of the parameters
    primal_tolerance: float
    dual: float
    dual_size: float  # of the dual variables
    dual_tolerance: float
    fall: float | None  # None: unknown
    fall_tolerance: float

    @property
    def are_small(self) -> bool:
        """Whether the algorithm has converged."""
        return (
            self.primal <= self.primal_tolerance
            and self.dual <= self.dual_tolerance
            and self.fall is not None
            and self.fall <= self.fall_tolerance
        )


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """The end of an epoch of an orchestrated algorithm."""

    state: State
    training_loss: float
    converged: str | None = None  # the reason, if the algorithm itself has converged
    residuals: Residuals | None = None  # admm: of the epoch before
    lacks: str = ""  # what convergence lacks, in words, if the algorithm has a criterion of its own
    empty_clusters: int | None = None  # expectation_maximisation: clusters without rows

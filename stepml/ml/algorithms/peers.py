"""The exchange with other ranks, as far as algorithms need it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from stepml.ml.algorithms.state import Sums
from stepml.ml.models.base import Array, Floats


class Aggregate(Protocol):
    """The sum of all ranks' contributions to a batch; the same bits for every rank."""

    @property
    def vector(self) -> Array: ...
    @property
    def trailer(self) -> Array: ...
    @property
    def pause(self) -> bool:
        """Whether a rank asked to stop after this batch."""


class AllReduce(Protocol):
    """The exchange of ranks that wait for each other after every batch."""

    def all_reduce(self, batch: int, vector: Floats, trailer: Sums, pause: bool) -> Aggregate:
        """Contribute to ``batch`` (from 1), wait for the other ranks, and return the sum.

        The sum may be in ``vector``, and the arguments may be overwritten after the call.
        """

    def replay(self, batch: int) -> Aggregate | None:
        """Return the sum of a batch that the ranks have finished, or None."""


class SharedState(Protocol):
    """The state of a model that all ranks change."""

    @property
    def vector(self) -> Array: ...
    @property
    def applied(self) -> Array:
        """The last applied update of each rank, by rank."""


S = TypeVar("S", bound=SharedState)


class Shared(Protocol[S]):
    """The model that ranks share, without waiting for each other."""

    def pull(self) -> S:
        """Return the current state of the model."""

    def push(
        self, sequence: int, pulled: S, change: Callable[[Array], None], totals: Sequence[float]
    ) -> S:
        """Apply this rank's update ``sequence`` (from 1) once; return the model with it."""


class SharedWithOptimiser(Shared[S], Protocol[S]):
    """A shared model with an optimiser of its own; a parameter server has one."""

    def push_gradient(
        self, sequence: int, pulled: S, gradient: Array, totals: Sequence[float]
    ) -> S:
        """Make a step from ``gradient`` with the model's optimiser; otherwise as `push`."""

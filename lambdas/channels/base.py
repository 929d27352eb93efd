"""The channel of one run of a job, whichever service is behind it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from comm import (
    InFlightExchange,
    Message,
    OrchestratedExchange,
    SharedModelExchange,
    Workers,
)
from comm.exchange import watch_nothing
from lambdas.attempts.fences import Attempted
from lambdas.attempts.timing import STANDARD
from stepml.job import keys
from stepml.job.spec import JobSpec
from stepml.ml.models.base import Floats

OnWait = Callable[[], None]
GoesOn = Callable[[], bool]


def never() -> bool:
    """Say that the job does not go on."""
    return False


@dataclass(frozen=True, slots=True)
class JobChannel(ABC):
    """The exchanges of one run of a job, and what they leave.

    ``watch`` of all methods is called about once a second during a wait; it raises to end the wait.
    A channel ignores parameters that it does not need: over a storage, no orchestrated rank waits
    and no update is made for the ranks; a parameter server does not cut vectors.
    """

    spec: JobSpec
    prefix: str  # of all keys of this run: keys.exchange_prefix

    @abstractmethod
    def orchestrated(
        self, chunks: int = 1, *, watch: OnWait = watch_nothing
    ) -> OrchestratedExchange:
        """Return the exchange of ranks that contribute and return.

        Parameters
        ----------
        chunks : int
            Parts of a vector, each of which a function merges; 1: the reducer merges.
        watch : callable
        """

    @abstractmethod
    def in_flight(
        self,
        task: Attempted,
        rank: int,
        n_parameters: int,
        *,
        watch: OnWait = watch_nothing,
    ) -> InFlightExchange:
        """Return one rank's exchange in an attempt whose ranks wait for each other.

        Parameters
        ----------
        task : Attempted
            Any task of the attempt.
        rank : int
        n_parameters : int
            Of the model.
        watch : callable
        """

    @abstractmethod
    def shared(
        self,
        task: Attempted,
        rank: int,
        n_updates: int,
        *,
        timeout_s: float = STANDARD.wait_s,
        watch: OnWait = watch_nothing,
    ) -> SharedModelExchange:
        """Return one rank's access to the model that the ranks share in an attempt.

        Parameters
        ----------
        task : Attempted
            Any task of the attempt.
        rank : int
        n_updates : int
            Updates of each rank in an epoch.
        timeout_s : float
            Longest wait.
        watch : callable
        """

    @abstractmethod
    def clear(self, goes_on: GoesOn = never) -> None:
        """Delete everything that the ranks of this run exchanged.

        Parameters
        ----------
        goes_on : callable
            Asked just before the deletion; if it returns True, everything stays.
        """

    @abstractmethod
    def clear_attempt(self, attempt: str) -> None:
        """Delete the values that belong to one attempt at an epoch alone."""

    @abstractmethod
    def clear_epoch(self, epoch: int) -> None:
        """Delete everything that the ranks exchanged in an epoch, in all attempts."""

    @abstractmethod
    def keep_contributions(self, epoch: int, goes_on: GoesOn = never) -> None:
        """Delete everything but the contributions to ``epoch``; ``goes_on`` as for `clear`."""

    @abstractmethod
    def require_answer(self) -> None:
        """Write a small value, read it back and delete it.

        Raises
        ------
        StorageUnavailableError, StorageDeniedError, StorageFullError
            The channel cannot be reached, refuses the functions, or has no room.
        """

    @abstractmethod
    def require_room_for_sums(self, contribution: Callable[[], Message]) -> None:
        """Raise an error if there is no room for the contributions of all ranks.

        Parameters
        ----------
        contribution : callable
            Returns one of the right size; called only if room is limited.
        """

    @abstractmethod
    def require_room_for_model(self, parameters: Floats, n_totals: int, n_updates: int) -> None:
        """Raise an error if there is no room for a shared model of this size.

        Parameters
        ----------
        parameters : array of shape (n_parameters,)
        n_totals : int
            Numbers that go with every update.
        n_updates : int
            Updates of each rank in an epoch.
        """

    @property
    def workers(self) -> Workers:
        """The workers of the run."""
        return Workers(self.prefix, self.spec.workers)

    def workers_of(self, attempt: str) -> Workers:
        """Return the workers of one attempt at an epoch: their keys are that attempt's own."""
        return Workers(keys.attempt_prefix(self.prefix, attempt), self.spec.workers)

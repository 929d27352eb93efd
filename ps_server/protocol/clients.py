"""A client of a parameter server, whatever the transport."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from comm.wire import Encoded
from ps_server.protocol.calls import (
    JobSettings,
    Pushed,
    Received,
    Registration,
    Statistics,
    StepStatus,
    Welcome,
)
from ps_server.protocol.refusals import ContributionsMissing
from stepml.job.step import Step


class ParameterClient(ABC):
    """One connection to a parameter server, for one thread at a time.

    It is made at the first call and, after it broke, at the next one. A call raises the server's
    `Refusal`, or `ConnectionError` or `TimeoutError` when there is no answer: then nobody knows
    whether it counted, and as all of them are idempotent it may be made again. After any of
    these the connection is closed, or as good as new.
    """

    @property
    @abstractmethod
    def server(self) -> Welcome:
        """What the server said of itself when the connection was made; connects if need be."""

    @abstractmethod
    def ping(self) -> Welcome:
        """Return what the server says of itself now."""

    @abstractmethod
    def register(self, job: str, settings: JobSettings) -> Registration:
        """Set memory aside for a job; a repetition changes nothing."""

    @abstractmethod
    def exists(self, job: str, step: Step) -> StepStatus:
        """Return which ranks have pushed to a step."""

    @abstractmethod
    def push(
        self,
        job: str,
        step: Step,
        rank: int,
        message: Encoded,
        *,
        attempt: str = "",
        based_on: int = 0,
    ) -> Pushed:
        """Give what ``rank`` has for ``step``; a repetition changes nothing.

        Parameters
        ----------
        job : str
        step : Step
        rank : int
            0 … world size - 1, or `ALL_RANKS` to give back a sum that the server has lost.
        message : Encoded
        attempt : str
            Of the epoch; a rank that is behind the others of its attempt is told so.
        based_on : int
            Version of the asynchronous model from which the update was computed.
        """

    @abstractmethod
    def pull(
        self, job: str, step: Step, rank: int, *, attempt: str = "", wait_s: float = 0.0
    ) -> Received:
        """Return a step's sum, or an asynchronous model.

        Its bytes stay what they are until the next but one call of `pull` or `push_and_pull`.

        Parameters
        ----------
        job : str
        step : Step
        rank : int
            Who asks; `ALL_RANKS`: nobody of the job, who does not count.
        attempt : str
        wait_s : float
            How long the server may wait for the other ranks.
        """

    @abstractmethod
    def push_and_pull(
        self,
        job: str,
        step: Step,
        rank: int,
        message: Encoded,
        *,
        attempt: str = "",
        based_on: int = 0,
        wait_s: float = 0.0,
    ) -> tuple[Pushed, Received | ContributionsMissing]:
        """Push and pull in one round trip; a wait that was in vain is returned, not raised."""

    @abstractmethod
    def forget(self, job: str, through: Step) -> None:
        """Let go of all steps of an epoch up to ``through``."""

    @abstractmethod
    def reset(self, job: str, epoch: int) -> None:
        """Let go of all steps of an epoch as if there had been none; 0: of all epochs."""

    @abstractmethod
    def delete(self, prefix: str) -> int:
        """Delete all jobs whose names begin with ``prefix``, and return how many."""

    @abstractmethod
    def statistics(self) -> Statistics:
        """Return what the server tells about itself and its jobs."""

    @abstractmethod
    def close(self) -> None:
        """End the connection; the next call makes another one."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

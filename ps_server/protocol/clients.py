"""A client of a parameter server, whatever the transport."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple, Self

import numpy as np

from ps_server.protocol.addresses import Address, Credentials
from ps_server.protocol.calls import (
    JobSettings,
    Pushed,
    Received,
    Registration,
    Statistics,
    StepStatus,
    Welcome,
)
from ps_server.protocol.encoded import Encoded
from ps_server.protocol.refusals import ContributionsMissing
from stepml.job.step import Step

_MOST_MESSAGE_BYTES = 2**40


class Target(NamedTuple):
    """The step of a push or a pull, and the rank that makes it."""

    job: str
    step: Step
    rank: int
    attempt: str = ""
    based_on: int = 0  # of a push


class ParameterClient(ABC):
    """One connection to a parameter server, for one thread at a time.

    It connects at the first call and, after the connection broke, at the next one. A call raises
    the server's `Refusal`, or `ConnectionError` or `TimeoutError` when there is no answer: then the
    call may have counted, and may be repeated, as all calls are idempotent. After any of these
    errors the client can be used again.

    Parameters
    ----------
    address : Address
    credentials : Credentials
    timeout_s : float
        Longest time without an answer, beside the time that a pull may wait.
    """

    def __init__(self, address: Address, credentials: Credentials, timeout_s: float) -> None:
        self._address = address
        self._credentials = credentials
        self._timeout_s = timeout_s
        self._welcome: Welcome | None = None
        self._buffers = [np.empty(0, np.uint8), np.empty(0, np.uint8)]

    @property
    @abstractmethod
    def server(self) -> Welcome:
        """The server's answer to the connection; connects if need be."""

    @abstractmethod
    def ping(self) -> Welcome:
        """Ask the server for its incarnation and its settings."""

    @abstractmethod
    def register(self, job: str, settings: JobSettings) -> Registration:
        """Set memory aside for a job; a repetition changes nothing."""

    @abstractmethod
    def exists(self, job: str, step: Step) -> StepStatus:
        """Return the ranks that have pushed to a step."""

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
        """Push the contribution of a rank to a step; a repetition changes nothing.

        Parameters
        ----------
        job, step, message
        rank : int
            0 … world size - 1, or `ALL_RANKS` to give back a sum that the server has lost.
        attempt : str
            Name of the attempt at the epoch; a rank far behind others of its attempt is refused.
        based_on : int
            Version of the asynchronous model from which the update was computed.
        """
        return self._push(Target(job, step, rank, attempt, based_on), message)

    def pull(
        self, job: str, step: Step, rank: int, *, attempt: str = "", wait_s: float = 0.0
    ) -> Received:
        """Return a step's sum, or an asynchronous model.

        Its bytes are valid until the next but one call of `pull` or `push_and_pull`. The server
        waits for other ranks for at most ``wait_s`` seconds. `ALL_RANKS` pulls without being
        counted as a rank.
        """
        return self._pull(Target(job, step, rank, attempt), wait_s)

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
        """Push and pull in one round trip; `ContributionsMissing` is returned, not raised."""
        return self._push_and_pull(Target(job, step, rank, attempt, based_on), message, wait_s)

    @abstractmethod
    def _push(self, target: Target, message: Encoded) -> Pushed: ...
    @abstractmethod
    def _pull(self, target: Target, wait_s: float) -> Received: ...
    @abstractmethod
    def _push_and_pull(
        self, target: Target, message: Encoded, wait_s: float
    ) -> tuple[Pushed, Received | ContributionsMissing]: ...

    @abstractmethod
    def forget(self, job: str, through: Step) -> None:
        """Drop all steps of an epoch up to ``through``."""

    @abstractmethod
    def reset(self, job: str, epoch: int) -> None:
        """Drop all steps of an epoch as if there had been none; 0: of all epochs."""

    @abstractmethod
    def delete(self, prefix: str) -> int:
        """Delete all jobs whose names begin with ``prefix``, and return how many."""

    @abstractmethod
    def statistics(self) -> Statistics:
        """Return figures of the server and of its jobs."""

    @abstractmethod
    def close(self) -> None:
        """End the connection; the next call makes another one."""

    def _next_buffer(self, size: int) -> memoryview:
        """Return memory for an answer; every other answer uses the same memory."""
        if not 0 < size <= _MOST_MESSAGE_BYTES:
            raise ConnectionError(f"{self._address}: a message of {size} bytes")
        self._buffers.reverse()
        if len(self._buffers[0]) < size:
            self._buffers[0] = np.empty(size, np.uint8)
        return self._buffers[0].data[:size]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

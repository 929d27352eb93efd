"""A client of a parameter server, whatever the transport."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

import numpy as np

from comm.wire import Compression, Message, encode_parts
from ps_server.protocol.addresses import Address, Credentials
from ps_server.protocol.calls import (
    JobSettings,
    Pushed,
    Received,
    Registration,
    Statistics,
    StepStatus,
    Target,
    Welcome,
)
from ps_server.protocol.refusals import ContributionsMissing
from stepml.job.step import Step

_MOST_MESSAGE_BYTES = 2**40

T = TypeVar("T")


class Encoded:
    """An encoded message of ``size`` bytes, in ``parts`` that are sent from their own memory."""

    __slots__ = ("parts", "size")

    def __init__(self, parts: Sequence[memoryview]) -> None:
        self.parts = tuple(part for part in parts if len(part))
        self.size = sum(map(len, self.parts))

    def pieces(self, most_bytes: int) -> Iterator[tuple[int, Sequence[memoryview]]]:
        """Yield the offset and the parts of each piece of at most ``most_bytes``."""
        if self.size <= most_bytes:
            yield 0, self.parts
            return
        for offset in range(0, self.size, most_bytes):
            start, piece = offset, list[memoryview]()
            for part in self.parts:
                piece.append(part[max(0, start) : max(0, start + most_bytes)])
                start -= len(part)
            yield offset, piece


def encode_in_parts(message: Message, compression: Compression = "none") -> Encoded:
    """Encode a message whose vector must not change until it is sent; see `encode_parts`."""
    return Encoded(encode_parts(message, compression))


@dataclass(eq=False)
class ParameterClient(ABC):
    """One connection to a parameter server, for one thread at a time.

    It connects at the first call and, after the connection broke, at the next one. A call raises
    the server's `Refusal`, or `ConnectionError` or `TimeoutError` when there is no answer: then the
    call may have counted, and may be repeated, as all calls are idempotent. After any of these
    errors the client can be used again.
    """

    address: Address
    credentials: Credentials = field(repr=False)
    timeout_s: float  # the longest time without an answer, beside the time that a pull may wait

    def __post_init__(self) -> None:
        self._buffers = [np.empty(0, np.uint8), np.empty(0, np.uint8)]

    @property
    @abstractmethod
    def server(self) -> Welcome:
        """The server's answer to the connection; connects if need be."""

    def ping(self) -> Welcome:
        """Ask the server for its incarnation and its settings."""
        return self._call(Welcome, "ping")

    def register(self, job: str, settings: JobSettings) -> Registration:
        """Set memory aside for a job; a repetition changes nothing."""
        return self._call(Registration, "register", job=job, settings=settings)

    def exists(self, job: str, step: Step) -> StepStatus:
        """Return the ranks that have pushed to a step."""
        return self._call(StepStatus, "exists", job=job, step=step)

    @abstractmethod
    def push(self, target: Target, message: Encoded) -> Pushed:
        """Push the contribution of a rank to a step; a repetition changes nothing.

        The rank `ALL_RANKS` gives back a sum that the server has lost.
        """

    @abstractmethod
    def pull(self, target: Target, wait_s: float = 0.0) -> Received:
        """Return a step's sum, or an asynchronous model.

        Its bytes are valid until the next but one call of `pull` or `push_and_pull`. The server
        waits for other ranks for at most ``wait_s`` seconds. `ALL_RANKS` pulls without being
        counted as a rank.
        """

    @abstractmethod
    def push_and_pull(
        self, target: Target, message: Encoded, wait_s: float = 0.0
    ) -> tuple[Pushed, Received | ContributionsMissing]:
        """Push and pull in one round trip; `ContributionsMissing` is returned, not raised."""

    def forget(self, job: str, through: Step) -> None:
        """Drop all steps of an epoch up to ``through``."""
        self._call(type(None), "forget", job=job, through=through)

    def reset(self, job: str, epoch: int) -> None:
        """Drop all steps of an epoch as if there had been none; 0: of all epochs."""
        self._call(type(None), "reset", job=job, epoch=epoch)

    def delete(self, prefix: str) -> int:
        """Delete all jobs whose names begin with ``prefix``, and return how many."""
        return self._call(int, "delete", prefix=prefix)

    def statistics(self) -> Statistics:
        """Return figures of the server and of its jobs."""
        return self._call(Statistics, "statistics")

    @abstractmethod
    def close(self) -> None:
        """End the connection; the next call makes another one."""

    @abstractmethod
    def _call(self, kind: type[T], name: str, **arguments: Any) -> T:
        """Make a call whose answer is of a ``kind``."""

    def _next_buffer(self, size: int) -> memoryview:
        """Return memory for an answer; every other answer uses the same memory."""
        if not 0 < size <= _MOST_MESSAGE_BYTES:
            raise ConnectionError(f"{self.address}: a message of {size} bytes")
        self._buffers.reverse()
        if len(self._buffers[0]) < size:
            self._buffers[0] = np.empty(size, np.uint8)
        return self._buffers[0].data[:size]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

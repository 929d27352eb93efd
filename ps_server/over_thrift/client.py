"""The client of a parameter server; Thrift is imported when it connects."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np

from ps_server.protocol.addresses import Address, Credentials
from ps_server.protocol.calls import (
    Encoded,
    JobSettings,
    Pushed,
    Received,
    Registration,
    Statistics,
    StepStatus,
    Target,
    Welcome,
)
from ps_server.protocol.refusals import AccessDenied, ContributionsMissing, Refusal
from stepml.job.step import Step

if TYPE_CHECKING:
    from ps_server.over_thrift.connection import Connection

_MOST_MESSAGE_BYTES = 2**40

T = TypeVar("T")


class ParameterClient:
    """One connection to a parameter server, for one thread at a time.

    It connects at the first call and, after the connection broke, at the next one. A call raises
    the server's `Refusal`, or `ConnectionError` or `TimeoutError` when there is no answer: then the
    call may have counted, and may be repeated, as all calls are idempotent. After any of these
    errors the client can be used again.

    Parameters
    ----------
    url : str
        ``thrifts://host:port``, or on this machine ``thrift://host:port``.
    credentials : Credentials
    timeout_s : float
        The longest time without an answer, beside the time that a pull may wait.

    Raises
    ------
    ValueError
        ``url`` is no address of a parameter server.
    """

    def __init__(self, url: str, credentials: Credentials, timeout_s: float = 30.0) -> None:
        self.address = Address.parse(url)
        self.credentials = credentials
        self.timeout_s = timeout_s
        self._connection: Connection | None = None
        self._buffers = [np.empty(0, np.uint8), np.empty(0, np.uint8)]

    @property
    def server(self) -> Welcome:
        """The server's answer to the connection; connects if need be."""
        with self._connected() as connection:
            return connection.welcome

    def ping(self) -> Welcome:
        """Ask the server for its incarnation and its settings."""
        return self._call(Welcome, "ping")

    def register(self, job: str, settings: JobSettings) -> Registration:
        """Set memory aside for a job; a repetition changes nothing."""
        return self._call(Registration, "register", job=job, settings=settings)

    def exists(self, job: str, step: Step) -> StepStatus:
        """Return the ranks that have pushed to a step."""
        return self._call(StepStatus, "exists", job=job, step=step)

    def push(self, target: Target, message: Encoded) -> Pushed:
        """Push the contribution of a rank to a step; a repetition changes nothing.

        The rank `ALL_RANKS` gives back a sum that the server has lost.
        """
        with self._connected() as connection:
            n_pieces = connection.write_push(target, message)
            connection.flush(self.timeout_s)
            return connection.pushed(n_pieces)

    def pull(self, target: Target, wait_s: float = 0.0) -> Received:
        """Return a step's sum, or an asynchronous model.

        Its bytes are valid until the next but one call of `pull` or `push_and_pull`. The server
        waits for other ranks for at most ``wait_s`` seconds. `ALL_RANKS` pulls without being
        counted as a rank.
        """
        with self._connected() as connection:
            connection.write_pull(target, wait_s)
            connection.flush(self.timeout_s + wait_s)
            return connection.pulled(target, self._next_buffer)

    def push_and_pull(
        self, target: Target, message: Encoded, wait_s: float = 0.0
    ) -> tuple[Pushed, Received | ContributionsMissing]:
        """Push and pull in one round trip; `ContributionsMissing` is returned, not raised."""
        with self._connected() as connection:
            n_pieces = connection.write_push(target, message)
            connection.write_pull(target, wait_s)
            connection.flush(self.timeout_s + wait_s)
            try:
                pushed = connection.pushed(n_pieces)
            except Refusal:
                with suppress(Refusal):
                    connection.pulled(target, self._next_buffer)
                raise
            try:
                return pushed, connection.pulled(target, self._next_buffer)
            except ContributionsMissing as missing:
                return pushed, missing

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

    def close(self) -> None:
        """End the connection; the next call makes another one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.transport.close()

    def _call(self, kind: type[T], name: str, **arguments: Any) -> T:
        """Make a call whose answer is of a ``kind``."""
        with self._connected() as connection:
            answer = connection.call(name, self.timeout_s, **arguments)
            assert isinstance(answer, kind)
            return answer

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        """Yield the connection; it is closed after an error other than a refusal."""
        from ps_server.over_thrift.connection import Connection, raise_clearly

        try:
            if self._connection is None:
                self._connection = Connection(self.address, self.credentials, self.timeout_s)
                self._connection.authenticate(self.credentials.token, self.timeout_s)
            yield self._connection
        except BaseException as error:
            if not isinstance(error, Refusal) or isinstance(error, AccessDenied):
                self.close()
            raise_clearly(error, self.address)

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

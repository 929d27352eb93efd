"""The calls of one rank to one job on a parameter server, repeated until there is an answer.

Servers restart and connections break, so a call without an answer is made again until its time is
over; all calls are idempotent. A final refusal becomes an error of StepML's.
"""

from __future__ import annotations

import random
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from comm.exchange import watch_nothing
from ps_server.over_thrift.client import ParameterClient
from ps_server.protocol import refusals
from ps_server.protocol.calls import (
    Encoded,
    JobSettings,
    Pushed,
    Received,
    Registration,
    StepStatus,
    Target,
)
from ps_server.protocol.refusals import ContributionsMissing, MemoryExceeded, UnknownJob
from stepml.job import errors
from stepml.job.step import Step
from storage.base import Clock, backoff

SLICE_S = 1.0  # of a wait on the server; `watch` is called after each slice
PATIENCE_S = 30.0  # with a server that does not answer, in calls that wait for no rank

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Push:
    """A push that is followed by a wait."""

    target: Target
    message: Encoded
    name: Callable[[int], str]  # of the contribution of another rank, for messages
    settings: JobSettings | None = None  # to register a job that the server does not know


@dataclass(eq=False)
class JobClient:
    """The calls of one rank to one job."""

    client: ParameterClient
    job: str
    watch: Callable[[], None] = watch_nothing  # called each second of a wait; it raises to end it
    clock: Clock = time
    incarnation: str = ""  # of the server of the last answer; another one may have lost pushes
    # Called after a call without an answer, before memory of earlier pulls is used again.
    on_break: Callable[[], None] = watch_nothing
    _is_registered: bool = False

    def call(self, act: Callable[[], T], deadline: float | None = None) -> T:
        """Call ``act`` until there is an answer; without a ``deadline`` for `PATIENCE_S`.

        Raises
        ------
        StorageUnavailableError, NotEnoughServerMemoryError
            The time is over: there was no answer, or no room for a message.
        StorageDeniedError, DamagedValueError, StorageError
            Final refusals. `UnknownJob`, `StepForgotten` and `ContributionsMissing` stay as they
            are: their meaning depends on the call.
        """
        if deadline is None:
            deadline = self.clock.monotonic() + PATIENCE_S
        delays = backoff(start_s=0.05)
        while True:
            try:
                with _translated():
                    answer = act()
                    self.incarnation = self.client.server.incarnation
                    return answer
            except (ConnectionError, TimeoutError, refusals.Draining, MemoryExceeded) as error:
                self.on_break()
                # Jittered: all ranks have lost their connection at the same moment.
                delay_s = next(delays) * random.uniform(0.5, 1.0)  # noqa: S311 — no secret
                if self.clock.monotonic() + delay_s > deadline:
                    raise _unavailable(error) from error
            self.watch()
            self.clock.sleep(delay_s)

    def register(self, settings: JobSettings, deadline: float | None = None) -> Registration:
        """Register the job, unless `watch` says that the attempt is over."""
        self.watch()

        def act() -> Registration:
            try:
                return self.client.register(self.job, settings)
            except MemoryExceeded as error:  # that will not be better in a moment
                raise _unavailable(error) from error
            except refusals.JobConflict:  # with an earlier version's: the next attempt registers
                self.client.delete(self.job)
                raise

        registration = self.call(act, deadline)
        self._is_registered = True
        return registration

    def push(self, step: Step, rank: int, message: Encoded, settings: JobSettings) -> Pushed:
        """Register the job, and push without a wait."""
        while True:
            self.register(settings)
            with suppress(UnknownJob):  # the server has been started again meanwhile
                return self.call(lambda: self.client.push(Target(self.job, step, rank), message))

    def push_and_wait(
        self,
        push: Push,
        timeout_s: float,
        parse: Callable[[Received], T],
        look: Callable[[ContributionsMissing], None] = lambda _: None,
    ) -> T:
        """Push, wait in slices for the other ranks, and pull; the errors are those of `call`.

        Parameters
        ----------
        parse : callable
            Makes the result from the received message; a damaged one is pulled once more.
        look : callable
            Called after each slice without a result; it raises to end the wait.

        Raises
        ------
        WaitTimeoutError
            Names the missing contributions.
        """
        deadline = self.clock.monotonic() + timeout_s
        if push.settings is not None and not self._is_registered:
            # First: a refused push may wait, if a peer registers the job meanwhile.
            self.register(push.settings, deadline)
        is_pushed = False
        while True:
            wait_s = min(SLICE_S, max(0.0, deadline - self.clock.monotonic()))
            ask = partial(self._ask, push, wait_s, parse, is_pushed)
            try:
                answer = self.call(ask, deadline)
            except UnknownJob:
                if push.settings is None:
                    raise
                self.register(push.settings, deadline)
                is_pushed = False
                continue
            if not isinstance(answer, ContributionsMissing):
                return answer
            self.watch()
            look(answer)
            if self.clock.monotonic() >= deadline:
                raise errors.WaitTimeoutError([push.name(rank) for rank in answer.ranks], timeout_s)
            is_pushed = push.target.rank not in answer.ranks  # a restarted server has lost it

    def exists(self, step: Step) -> StepStatus:
        return self.call(lambda: self.client.exists(self.job, step))

    def pull(self, step: Step, rank: int, parse: Callable[[Received], T]) -> T:
        """Pull without a wait."""
        return self.call(lambda: _parsed(self.client.pull(Target(self.job, step, rank)), parse))

    def reset(self, epoch: int) -> None:
        with suppress(UnknownJob):  # then there is nothing to drop
            self.call(lambda: self.client.reset(self.job, epoch))

    def forget(self, through: Step) -> None:
        with suppress(UnknownJob):
            self.call(lambda: self.client.forget(self.job, through))

    def delete(self) -> None:
        """Delete the job, and all whose names begin with its name."""
        self.call(lambda: self.client.delete(self.job))

    def _ask(
        self, push: Push, wait_s: float, parse: Callable[[Received], T], is_pushed: bool
    ) -> T | ContributionsMissing:
        if is_pushed:
            try:
                return _parsed(self.client.pull(push.target, wait_s), parse)
            except ContributionsMissing as missing:
                return missing
        _, found = self.client.push_and_pull(push.target, push.message, wait_s)
        return found if isinstance(found, ContributionsMissing) else _parsed(found, parse)


def _unavailable(error: Exception) -> errors.StepMLError:
    if isinstance(error, MemoryExceeded):
        sizes = error.needed_bytes, error.free_bytes, error.limit_bytes
        return errors.NotEnoughServerMemoryError(*sizes)
    return errors.StorageUnavailableError(f"the parameter server does not answer: {error}")


def _parsed(received: Received, parse: Callable[[Received], T]) -> T:
    try:
        return parse(received)
    except errors.DamagedValueError as error:  # on its way here: the server checks what it gets
        raise ConnectionError(str(error)) from error


@contextmanager
def _translated() -> Iterator[None]:
    """Raise final refusals as errors of StepML's."""
    try:
        yield
    except refusals.AccessDenied as error:
        text = f"the parameter server refuses the token: {error}"
        raise errors.StorageDeniedError(text) from error
    except ssl.SSLCertVerificationError as error:
        raise errors.StorageDeniedError(f"the parameter server's certificate: {error}") from error
    except (refusals.DamagedVector, refusals.JobConflict) as error:
        raise errors.DamagedValueError(f"the parameter server refuses: {error}") from error
    except refusals.InvalidRequest as error:
        if str(error).startswith("exchange.compression"):  # the sum is too large for float16
            raise errors.CompressionError(str(error)) from error
        raise errors.StorageError(f"the parameter server refuses: {error}") from error

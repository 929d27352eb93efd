"""Turns in order of arrival, over a store that only compares and saves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from comm.exchange import Workers
from stepml.job import keys
from stepml.job.errors import StorageError, StorageUnavailableError, WaitTimeoutError
from stepml.job.stopwatch import timed
from storage import Storage
from storage.base import Clock, backoff

_MOST_TRIES = 1000  # for a ticket: whenever one rank loses a race, another gets a ticket
_LOOKS_A_LEASE = 4
_PATIENCE, _LEAST_S = 10, 1.0  # with a holder: so many times this rank's longest turn
_MOST_WAITING = 1600  # ranks of a job


@dataclass(slots=True)
class FifoLease:
    """Lets ranks work one after another where only one should work at a time.

    A rank takes the next ticket and waits until the holder before it passes the turn on. The lease
    prevents wasted work, no more: a dead or slow holder loses its turn, so the work needs a fence
    of its own. All turns are alike: a holder that takes ten times as long as this rank ever did is
    probably dead.

    Parameters
    ----------
    workers : Workers
    epoch : int
    channel : Storage
    lease_s : float
        Seconds that a holder may take at most.
    timeout_s : float
        Longest wait for a turn.
    watch : callable, optional
        Called about once a second while waiting; raises to end the wait.
    clock : Clock
    """

    workers: Workers
    epoch: int
    channel: Storage
    lease_s: float = 10.0
    timeout_s: float = 180.0
    watch: Callable[[], None] | None = None
    clock: Clock = time
    longest_s: float | None = None  # of this rank's own turns

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn, and pass it on at the end of the block."""
        ticket = self._take_ticket()
        try:
            with timed("wait"):
                self._await_turn(ticket)
            began = self.clock.monotonic()
            yield
            self.longest_s = max(self.longest_s or 0.0, self.clock.monotonic() - began)
        finally:
            # Also after an error: the ranks behind need not wait for the end of the lease. An
            # error here must not hide the error of the block.
            with suppress(StorageError):
                self.channel.publish(self._turn(ticket + 1), b"1")
                self.channel.delete(self._turn(ticket))

    def release(self) -> None:
        """Delete the values of all turns, once no rank needs one any more."""
        key = keys.lease(self.workers.prefix, self.epoch)
        value = self.channel.load_many([key]).get(key)
        if value is not None:
            self.channel.delete_many([key, self._turn(int(bytes(value)))])

    def _take_ticket(self) -> int:
        key = keys.lease(self.workers.prefix, self.epoch)
        delays = backoff(start_s=0.0005, most_s=0.05)
        for _ in range(_MOST_TRIES):
            value, version = self.channel.load_version(key)
            ticket = int(bytes(value or b"0"))
            if self.channel.compare_and_save(key, b"%d" % (ticket + 1), version):
                return ticket
            with timed("wait"):
                self.clock.sleep(next(delays))
        raise StorageUnavailableError(f"no ticket in {_MOST_TRIES} tries under {key}")

    def _await_turn(self, ticket: int) -> None:
        since = self.clock.monotonic()
        deadline = since + self.timeout_s
        holder = -1  # the last ticket whose turn had come at the last look
        while ticket > 0:
            try:
                self.channel.wait_many(
                    [self._turn(ticket)],
                    timeout_s=self._patience_s / _LOOKS_A_LEASE,
                    clock=self.clock,
                    watch=self.watch,
                )
            except WaitTimeoutError as error:
                now, before = self.clock.monotonic(), holder
                holder = self._holder(ticket)
                if holder != before:
                    since = now
                # The holder may be dead, and so may all ranks between it and this one.
                if now - since >= self._patience_s * (ticket - holder):
                    return
                if now >= deadline:
                    raise WaitTimeoutError([self._turn(ticket)], self.timeout_s) from error
                if not self._is_there():  # the channel has lost the turns: none will be passed on
                    return
            else:
                return

    @property
    def _patience_s(self) -> float:
        if self.longest_s is None:
            return self.lease_s
        return min(self.lease_s, max(_LEAST_S, _PATIENCE * self.longest_s))

    def _holder(self, ticket: int) -> int:
        """Return the last ticket before ``ticket`` whose turn has come; ticket 0 always has it."""
        earlier = range(max(1, ticket - _MOST_WAITING), ticket)
        found = self.channel.find_many([self._turn(each) for each in earlier])
        return max((each for each in earlier if self._turn(each) in found), default=0)

    def _is_there(self) -> bool:
        return bool(self.channel.find_many([keys.lease(self.workers.prefix, self.epoch)]))

    def _turn(self, ticket: int) -> str:
        return keys.turn(self.workers.prefix, self.epoch, ticket)

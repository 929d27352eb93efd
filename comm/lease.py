"""Turns in order of arrival, over a store that only compares and saves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from comm.exchange import Workers
from stepml.job import keys
from stepml.job.errors import StorageError, StorageUnavailableError, WaitTimeoutError
from storage import Storage
from storage.base import Clock, backoff

_MOST_TRIES = 1000  # for a ticket: each lost race is another's ticket
_LOOKS_A_LEASE = 4
_MOST_WAITING = 1600  # ranks of a job


@dataclass(frozen=True, slots=True)
class FifoLease:
    """Lets one rank after another do what only one should do at a time.

    A rank takes the next ticket and waits until the holder before it passes the turn on. It keeps
    ranks from doing work that another makes void, and nothing depends on it: a holder that is dead
    or slow is passed over after ``lease_s``, so what is done has to be fenced by itself.

    Parameters
    ----------
    workers : Workers
    epoch : int
    channel : Storage
    lease_s : float
        Seconds that a holder may take.
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

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn, and pass it on at the end of the block."""
        ticket = self._take_ticket()
        try:
            self._await_turn(ticket)
            yield
        finally:
            # Also after an error: those behind need not wait until this one counts as dead. If
            # it fails they do, and an error of the block is the one to be seen.
            with suppress(StorageError):
                self.channel.publish(self._turn(ticket + 1), b"1")
                self.channel.delete(self._turn(ticket))

    def release(self) -> None:
        """Delete what all turns left, once nobody wants one any more."""
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
            self.clock.sleep(next(delays))
        raise StorageUnavailableError(f"no ticket in {_MOST_TRIES} tries under {key}")

    def _await_turn(self, ticket: int) -> None:
        since = self.clock.monotonic()
        deadline = since + self.timeout_s
        holder = -1  # the last ticket whose turn has come, when it was looked at last
        while ticket > 0:
            try:
                self.channel.wait_many(
                    [self._turn(ticket)],
                    timeout_s=self.lease_s / _LOOKS_A_LEASE,
                    clock=self.clock,
                    watch=self.watch,
                )
            except WaitTimeoutError as error:
                now, before = self.clock.monotonic(), holder
                holder = self._holder(ticket)
                if holder != before:
                    since = now
                # It may be dead, and so may all between it and this one.
                if now - since >= self.lease_s * (ticket - holder):
                    return
                if now >= deadline:
                    raise WaitTimeoutError([self._turn(ticket)], self.timeout_s) from error
                if not self._is_there():  # the channel has lost it: nobody will pass the turn on
                    return
            else:
                return

    def _holder(self, ticket: int) -> int:
        """Return the last one before ``ticket`` whose turn has come; the first needs nobody."""
        earlier = range(max(1, ticket - _MOST_WAITING), ticket)
        found = self.channel.find_many([self._turn(each) for each in earlier])
        return max((each for each in earlier if self._turn(each) in found), default=0)

    def _is_there(self) -> bool:
        return bool(self.channel.find_many([keys.lease(self.workers.prefix, self.epoch)]))

    def _turn(self, ticket: int) -> str:
        return keys.turn(self.workers.prefix, self.epoch, ticket)

"""The synchronous exchanges over a parameter server, which adds and wakes the waiting ranks.

They keep the promises of the exchanges of `comm`, and sums have the same bits. A vector is never
cut: the server is the one merger.

**Healing.** A restarted server may have lost pushes. Each answer to a wait names the missing ranks,
and they push again. A rank also holds the sum of its last step, which a slower rank may still need,
and gives it back. Ranks are never further apart than one step.

**Falling behind.** A rank that is called again catches up by the sums that it missed. If they are
gone, and other ranks of its attempt are at later steps, it raises `ReplayLostError`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass

from comm.exchange import InFlightExchange, OrchestratedExchange, Workers, watch_nothing
from comm.wire import Compression, Message, Shape, Vector
from ps_server.client.jobs import SLICE_S, JobClient, Push
from ps_server.over_thrift.client import ParameterClient
from ps_server.protocol.calls import (
    ALL_RANKS,
    Encoded,
    JobSettings,
    Received,
    Target,
    encode_in_parts,
)
from ps_server.protocol.refusals import ContributionsMissing, StepForgotten, UnknownJob
from stepml.job.errors import MissingContributionError, ReplayLostError
from stepml.job.step import Step
from storage.base import Clock

HEAL_S = 2.0  # a look costs a request
GRACE_S = 3 * HEAL_S
# A peer gives the last sum back when it waits for the next one. Until then it computes, about as
# long as this rank did: it has this many times that, and the grace.
_COMPUTES = 3
_MOST_GRACE_S = 60.0


@dataclass(eq=False)
class ServerInFlight(InFlightExchange):
    """One rank's part in the steps of a job, over a parameter server."""

    workers: Workers
    rank: int
    client: ParameterClient
    _: KW_ONLY
    compression: Compression = "none"
    timeout_s: float = 180.0  # the longest wait for the other ranks
    attempt: str = ""  # at the epoch; empty: a rank that has fallen behind waits to the end
    heal_s: float = HEAL_S  # of waiting, between two checks that the server has the last sum
    grace_s: float = GRACE_S  # the least time for a peer to give a sum back
    watch: Callable[[], None] = watch_nothing  # called each second of a wait; it raises to end it
    clock: Clock = time

    def __post_init__(self) -> None:
        self._job = JobClient(self.client, self.workers.prefix, self.watch, self.clock)
        self._job.on_break = self._keep_last
        self._epoch = 0
        self._last: tuple[Step, memoryview] | None = None  # the sum of the last step
        self._last_at = ""  # the incarnation of the server that has it
        self._left_at = self.clock.monotonic()  # the last step, or the beginning
        self._longest_s = 0.0  # between two steps

    def all_reduce(self, step: Step, message: Message, into: Vector | None = None) -> Message:
        began = self.clock.monotonic()
        self._longest_s = max(self._longest_s, began - self._left_at)
        self._epoch = step.epoch
        given = encode_in_parts(message, self.compression)
        settings = JobSettings(self.workers.world_size, given.size, compression=self.compression)
        target = Target(self.workers.prefix, step, self.rank, self.attempt)
        push = Push(target, given, lambda one: f"rank {one}'s contribution to {step}", settings)
        try:
            data, summed = self._job.push_and_wait(
                push,
                self.timeout_s,
                lambda received: (received.data, _sum_of(step)(received)),
                self._looker(step),
            )
        except StepForgotten as error:
            raise self._lost(step, str(error)) from error
        self._last, self._last_at = (step, data), self._job.incarnation
        self._left_at = self.clock.monotonic()
        return summed

    def replay(self, step: Step) -> Message | None:
        try:
            return self._job.pull(step, self.rank, _sum_of(step))
        except (ContributionsMissing, StepForgotten, UnknownJob):
            return None

    def forget(self, steps: Iterable[Step]) -> None:
        through = max(steps, default=None)
        if through is not None:
            self._epoch = through.epoch
            self._job.forget(through)

    def withdraw(self) -> None:
        if self._epoch:
            self._job.reset(self._epoch)

    def _looker(self, step: Step) -> Callable[[ContributionsMissing], None]:
        """Return the function that is called after each slice of a wait."""
        due, behind_since = self.clock.monotonic() + self.heal_s, float("inf")
        one_behind_s = min(_MOST_GRACE_S, self.grace_s + _COMPUTES * self._longest_s)

        def look(missing: ContributionsMissing) -> None:
            nonlocal due, behind_since
            now = self.clock.monotonic()
            if now >= due or self._last_at != self._job.incarnation:
                due = now + self.heal_s
                self._give_back()
            ahead = missing.frontier - step.batch
            behind_since = min(behind_since, now) if ahead > 0 else float("inf")
            if now - behind_since > (one_behind_s if ahead == 1 else SLICE_S):
                raise self._lost(step, f"its peers are at batch {missing.frontier}")

        return look

    def _give_back(self) -> None:
        """Push the last step's sum to a server that has lost it."""
        self._last_at = self._job.incarnation
        if self._last is None:
            return
        client, name, (step, data) = self._job.client, self._job.job, self._last

        def act() -> None:
            if not client.exists(name, step).is_complete:
                client.push(Target(name, step, ALL_RANKS, self.attempt), Encoded([data]))

        with suppress(UnknownJob, StepForgotten):
            self._job.call(act)

    def _keep_last(self) -> None:
        """Copy the last sum, whose memory the client will use for another one."""
        if self._last is not None and not isinstance(self._last[1].obj, bytes):
            step, data = self._last
            self._last = step, memoryview(bytes(data))

    def _lost(self, step: Step, why: str) -> ReplayLostError:
        return ReplayLostError(
            f"rank {self.rank} waits for {step}: {why}; the sums to catch up with are gone"
        )


@dataclass(eq=False)
class ServerOrchestrated(OrchestratedExchange):
    """The exchange of ranks that end between two steps, over a parameter server."""

    workers: Workers
    client: ParameterClient
    _: KW_ONLY
    compression: Compression = "none"
    watch: Callable[[], None] = watch_nothing  # while no answer comes; it raises to end the wait
    clock: Clock = time

    def __post_init__(self) -> None:
        self._job = JobClient(self.client, self.workers.prefix, self.watch, self.clock)
        self._has_left = False  # a contribution that was not there before

    def contribute(self, step: Step, rank: int, message: Message) -> None:
        given = encode_in_parts(message, self.compression)
        settings = JobSettings(self.workers.world_size, given.size, compression=self.compression)
        self._has_left = not self._job.push(step, rank, given, settings).is_repeated

    def has_contributed(self, step: Step, rank: int, shape: Shape | None = None) -> bool:
        try:
            return rank in self._job.exists(step).ranks
        except UnknownJob:
            return False

    def withdraw(self, step: Step, rank: int) -> None:
        if self._has_left:  # others of this step come too late as well
            self.release(step)

    def sum(self, step: Step) -> Message:
        try:
            return self._job.pull(step, ALL_RANKS, _sum_of(step))
        except (ContributionsMissing, UnknownJob) as error:
            everybody = range(self.workers.world_size)
            ranks = error.ranks if isinstance(error, ContributionsMissing) else everybody
            raise MissingContributionError(ranks, str(step)) from error

    def release(self, step: Step) -> None:
        self._job.reset(step.epoch)


def _sum_of(step: Step) -> Callable[[Received], Message]:
    return lambda received: received.message(f"the sum of {step}")

"""The exchanges over a parameter server: it adds, and wakes whoever waits.

They promise what those of `comm` do over a storage, and a sum has the same bits. A vector is never
cut: the server is the one merger.

**Healing.** A server that is restarted, or deletes a job, may lose what it had. What is missing of
this rank it sees in every answer to its waits, and pushes again. It also holds the sum of the last
step, which a slower rank may still need, and gives it back. Ranks are never further apart than
that.

**Falling behind.** A rank that is called again catches up by the sums that it missed. Where those
are gone, the server tells that others of its attempt have pushed to later steps: `ReplayLostError`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from comm.exchange import InFlightExchange, OrchestratedExchange, Workers
from comm.wire import Compression, Encoded, Message, encode_in_parts
from ps_server.client.jobs import SLICE_S, JobClient, Push, nothing
from ps_server.protocol.calls import ALL_RANKS, JobSettings, Received
from ps_server.protocol.clients import ParameterClient
from ps_server.protocol.refusals import ContributionsMissing, StepForgotten, UnknownJob
from stepml.job.errors import MissingContributionError, ReplayLostError
from stepml.job.step import Step
from storage.base import Clock

HEAL_S = 2.0  # a look costs a request
# Whoever has the last sum gives it back when it waits for the next one. Until then it computes,
# for about as long as this rank did: so many times that it is given, and some seconds.
_COMPUTES = 3
_GRACE_S = 3 * HEAL_S
_MOST_GRACE_S = 60.0


class ServerInFlight(InFlightExchange):
    """One rank's part in the steps of a job, over a parameter server.

    Parameters
    ----------
    workers : Workers
    rank : int
    client : ParameterClient
    compression : {"none", "float16"}
    timeout_s : float
        Longest wait for the other ranks.
    attempt : str
        At the epoch: ranks of the same one tell each other how far they are. Empty: a rank that has
        lost touch waits until its time is out.
    heal_s : float
        Seconds of waiting between looks whether the last sum is still there.
    watch : callable
        Called about once a second while this rank waits; raises to end the wait.
    clock : Clock
    """

    def __init__(
        self,
        workers: Workers,
        rank: int,
        client: ParameterClient,
        *,
        compression: Compression = "none",
        timeout_s: float = 180.0,
        attempt: str = "",
        heal_s: float = HEAL_S,
        watch: Callable[[], None] = nothing,
        clock: Clock = time,
    ) -> None:
        self.timeout_s = timeout_s
        self._workers = workers
        self._rank = rank
        self._job = JobClient(client, workers.prefix, watch, clock)
        self._job.on_break = self._keep_last
        self._compression: Compression = compression
        self._attempt = attempt
        self._heal_s = heal_s
        self._clock = clock
        self._epoch = 0
        self._last: tuple[Step, memoryview] | None = None  # sum that this rank has had
        self._last_at = ""  # the server that had it, too
        self._left_at = clock.monotonic()  # the last step, or the beginning
        self._longest_s = 0.0  # between two steps

    def all_reduce(self, step: Step, message: Message) -> Message:
        began = self._clock.monotonic()
        self._longest_s = max(self._longest_s, began - self._left_at)
        self._epoch = step.epoch
        contribution = encode_in_parts(message, self._compression)
        settings = JobSettings(
            self._workers.world_size, contribution.size, compression=self._compression
        )
        push = Push(step, self._rank, contribution, _contribution(step), self._attempt, 0, settings)

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
        self._left_at = self._clock.monotonic()
        return summed

    def replay(self, step: Step) -> Message | None:
        try:
            return self._job.pull(step, self._rank, _sum_of(step))
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
        """Return what is called after each slice of a wait that was in vain."""
        due, behind_since = self._clock.monotonic() + self._heal_s, float("inf")
        one_behind_s = min(_MOST_GRACE_S, _GRACE_S + _COMPUTES * self._longest_s)

        def look(missing: ContributionsMissing) -> None:
            nonlocal due, behind_since
            now = self._clock.monotonic()
            if now >= due or self._last_at != self._job.incarnation:
                due = now + self._heal_s
                self._give_back()
            ahead = missing.frontier - step.batch
            behind_since = min(behind_since, now) if ahead > 0 else float("inf")
            if now - behind_since > (one_behind_s if ahead == 1 else SLICE_S):
                raise self._lost(step, f"its peers are at batch {missing.frontier}")

        return look

    def _give_back(self) -> None:
        """Give the last step's sum to a server that does not have it."""
        self._last_at = self._job.incarnation
        if self._last is None:
            return
        client, name, (step, data) = self._job.client, self._job.job, self._last

        def act() -> None:
            if not client.exists(name, step).is_complete:
                client.push(name, step, ALL_RANKS, Encoded([data]), attempt=self._attempt)

        with suppress(UnknownJob, StepForgotten):
            self._job.call(act)

    def _keep_last(self) -> None:
        """Copy the last sum, as the client will use its memory for the rest of another one."""
        if self._last is not None and not isinstance(self._last[1].obj, bytes):
            step, data = self._last
            self._last = step, memoryview(bytes(data))

    def _lost(self, step: Step, why: str) -> ReplayLostError:
        return ReplayLostError(
            f"rank {self._rank} waits for {step}: {why}; what it would catch up by is gone"
        )


class ServerOrchestrated(OrchestratedExchange):
    """The exchange of ranks that contribute and come back, over a parameter server.

    Parameters
    ----------
    workers : Workers
    client : ParameterClient
    compression : {"none", "float16"}
    watch : callable
        Called while the server does not answer; raises to end that.
    clock : Clock
    """

    def __init__(
        self,
        workers: Workers,
        client: ParameterClient,
        *,
        compression: Compression = "none",
        watch: Callable[[], None] = nothing,
        clock: Clock = time,
    ) -> None:
        self._workers = workers
        self._job = JobClient(client, workers.prefix, watch, clock)
        self._compression: Compression = compression
        self._has_left = False  # something that was not there before

    def contribute(self, step: Step, rank: int, message: Message) -> None:
        given = encode_in_parts(message, self._compression)
        settings = JobSettings(self._workers.world_size, given.size, compression=self._compression)
        self._has_left = not self._job.push(step, rank, given, settings).is_repeated

    def has_contributed(self, step: Step, rank: int) -> bool:
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
        except ContributionsMissing as error:
            raise MissingContributionError(error.ranks, str(step)) from error
        except UnknownJob as error:
            everybody = range(self._workers.world_size)
            raise MissingContributionError(everybody, str(step)) from error

    def release(self, step: Step) -> None:
        self._job.reset(step.epoch)


def _contribution(step: Step) -> Callable[[int], str]:
    return lambda rank: f"rank {rank}'s contribution to {step}"


def _sum_of(step: Step) -> Callable[[Received], Message]:
    return lambda received: received.message(f"the sum of {step}")

"""The exchange of workers that run at the same time and wait for each other at every step.

::

    contribute ──► wait for the others' contributions ──► add in rank order ──► publish the sum
        (every rank)            (the rank that merges a chunk)                         │
    every rank ◄──────────────────── wait for the sums of all chunks ◄─────────────────┘

**Healing.** The channel may lose everything at any time. A rank that waits checks every few seconds
that the values it has published still exist: its contribution to this step, and its sums of this
step and the last one, which a slower rank may still need. Ranks are never further apart: a rank at
step s + 1 has the sum of step s, and no rank gets the sum of s + 1 before all have contributed.

**Falling behind.** A rank that is called again catches up with the sums that it missed. If the
channel has lost them, the rank would wait for contributions that are not made a second time. So
waiting ranks also write their step to a common key, the frontier: a rank that stays behind it
raises `ReplayLostError`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing

from comm.exchange import InFlightExchange, Workers
from comm.garbage import Garbage
from comm.pace import Pace
from comm.sums import cut, join, sum_in_rank_order
from comm.wire import Compression, Message, decode, encode, is_whole
from stepml.job.errors import DamagedValueError, ReplayLostError, WaitTimeoutError
from stepml.job.step import Step
from storage import Storage
from storage.base import Buffer, Clock

HEAL_S = 2.0  # the longest delay by a lost value; each look costs a request
# The rank that made the last sum publishes it again when it waits for the next one. Until then it
# computes, about as long as this rank did: it gets so many times that.
_COMPUTES = 3
_MOST_LOOKS = 30


def in_flight_chunks(pattern: str, world_size: int, vector_bytes: int, channel: Storage) -> int:
    """Return the number of chunks into which a pattern cuts a vector in flight.

    ``reduce`` has one, which rank 0 merges. ``reduce_scatter`` has one for each rank, unless the
    vector is so small that a chunk is not worth a request to ``channel``.
    """
    if pattern == "reduce":
        return 1
    return max(1, min(world_size, vector_bytes // channel.request_bytes))


class InFlight(InFlightExchange):
    """One rank's exchange in flight, over a storage.

    Parameters
    ----------
    workers : Workers
    rank : int
    channel : Storage
    chunks : int
        From `in_flight_chunks`; rank ``c`` merges chunk ``c``.
    compression : {"none", "float16"}
    timeout_s : float
        Longest wait for the other ranks.
    frontier : str, optional
        Key of the furthest batch at which a rank of this attempt waits. Without one, a rank that
        has fallen behind waits until its time is over.
    heal_s : float
        Seconds between checks that the published values still exist.
    watch : callable, optional
        Called about once a second while this rank waits; raises to end the wait.
    clock : Clock
    """

    def __init__(
        self,
        workers: Workers,
        rank: int,
        channel: Storage,
        *,
        chunks: int = 1,
        compression: Compression = "none",
        timeout_s: float = 180.0,
        frontier: str | None = None,
        heal_s: float = HEAL_S,
        watch: Callable[[], None] | None = None,
        clock: Clock = time,
    ) -> None:
        self.timeout_s = timeout_s
        self._frontier = frontier
        self._heal_s = heal_s
        self._workers = workers
        self._rank = rank
        self._channel = channel
        self._chunks = chunks
        self._compression: Compression = compression
        self._watch = watch
        self._clock = clock
        self._contributed: dict[str, Buffer] = {}  # by this rank to this step
        self._sums: dict[str, Buffer] = {}  # made by this rank in this step …
        self._last_sums: dict[str, Buffer] = {}  # … and in the one before
        self._garbage = Garbage(channel)
        self._merge_pace, self._collect_pace = Pace(clock), Pace(clock)
        self._left_at = clock.monotonic()  # the last step, or the beginning
        self._longest_s = 0.0  # between two steps

    def all_reduce(self, step: Step, message: Message) -> Message:
        self._longest_s = max(self._longest_s, self._clock.monotonic() - self._left_at)
        self._last_sums, self._sums = self._sums, {}
        self._contributed = self._publish(
            {
                self._workers.contribution(step, self._rank, chunk): encode(part, self._compression)
                for chunk, part in enumerate(cut(message, self._chunks))
            }
        )
        # While the others' contributions are still on their way.
        self._garbage.flush_if_much()
        mine = range(self._rank, self._chunks, self._workers.world_size)
        sums = {chunk: self._merge(step, chunk) for chunk in mine}
        sums |= self._collect(step, [c for c in range(self._chunks) if c not in sums])
        aggregate = join([sums[chunk] for chunk in range(self._chunks)])
        # All ranks have contributed to this step, so they have the sum of the last one. While this
        # rank computes, the memory of both is free. The names are for `withdraw`.
        self._contributed = dict.fromkeys(self._contributed, b"")
        self._last_sums = dict.fromkeys(self._last_sums, b"")
        self._left_at = self._clock.monotonic()
        return aggregate

    def replay(self, step: Step) -> Message | None:
        names = [self._workers.aggregate(step, chunk) for chunk in range(self._chunks)]
        found = self._channel.load_many(names)
        try:
            return join([decode(found[name], name) for name in names])
        except (KeyError, DamagedValueError):
            return None

    def forget(self, steps: Iterable[Step]) -> None:
        chunks = range(self._chunks)
        self._garbage.add([self._workers.aggregate(step, c) for step in steps for c in chunks])

    def close(self) -> None:
        self._garbage.flush()

    def withdraw(self) -> None:
        own = self._contributed | self._last_sums | self._sums
        self._garbage.add([*own, *([self._frontier] if self._frontier else [])])
        self._garbage.flush()

    def _merge(self, step: Step, chunk: int) -> Message:
        key = self._workers.aggregate(step, chunk)
        names = self._workers.contributions(step, chunk)
        try:
            aggregate = sum_in_rank_order(self._arriving(step, names, key), self._compression)
        except _MergedElsewhereError:  # by a copy of this rank
            return self._collect(step, [chunk])[chunk]
        first = self._publish({key: aggregate.data})[key]
        self._sums[key] = first
        self._garbage.add(names, len(names) * len(aggregate.data))
        return aggregate.message if first is aggregate.data else decode(first, key)

    def _publish(self, values: Mapping[str, Buffer]) -> dict[str, Buffer]:
        """Publish ``values`` and return the first undamaged value of each key."""
        firsts = self._channel.publish_many(values)
        for key, data in values.items():
            if firsts[key] is not data and not is_whole(firsts[key]):
                self._channel.delete(key)  # otherwise it would never be replaced
                firsts[key] = self._channel.publish(key, data)
        return firsts

    def _arriving(self, step: Step, names: Sequence[str], merged: str) -> Iterator[Message]:
        """Yield all contributions to a chunk in rank order, as they arrive."""
        others = [name for name in names if name not in self._contributed]
        with closing(self._waiting(step, others, self._merge_pace, merged)) as arriving:
            for name in names:
                if name in self._contributed:
                    yield decode(self._contributed[name], name)
                else:
                    yield next(arriving)

    def _collect(self, step: Step, chunks: Sequence[int]) -> dict[int, Message]:
        names = [self._workers.aggregate(step, chunk) for chunk in chunks]
        return dict(zip(chunks, self._waiting(step, names, self._collect_pace), strict=True))

    def _waiting(
        self, step: Step, names: Sequence[str], pace: Pace, merged: str | None = None
    ) -> Generator[Message, None, None]:
        """Yield the messages under ``names`` in that order; a damaged one is awaited again."""
        watch = self._watcher(step, pace, merged)
        deadline = self._clock.monotonic() + self.timeout_s
        missing, first_delay_s = [*names], pace.begin()
        while missing:
            try:
                for name, data in self._channel.wait_each(
                    missing,
                    timeout_s=max(0.0, deadline - self._clock.monotonic()),
                    first_delay_s=first_delay_s,
                    clock=self._clock,
                    watch=watch,
                ):
                    message = decode(data, name)
                    missing = missing[1:]
                    yield message
            except DamagedValueError:
                # Its writer publishes it again, as it does with lost values.
                self._channel.delete(missing[0])
                first_delay_s = 0.0
            except WaitTimeoutError as error:
                raise WaitTimeoutError(self._who_is_missing(step), self.timeout_s) from error

    def _watcher(self, step: Step, pace: Pace, merged: str | None) -> Callable[[], None]:
        """Return the callback of a wait; ``merged`` is the key of the sum that this rank makes."""
        due = self._clock.monotonic() + self._heal_s
        looks_behind = 0

        def watch() -> None:
            nonlocal due, looks_behind
            pace.look()
            if self._watch is not None:
                self._watch()
            if self._clock.monotonic() >= due:
                due = self._clock.monotonic() + self._heal_s
                self._heal()
                if merged is not None and self._is_whole(merged):
                    raise _MergedElsewhereError
                behind = self._steps_behind(step)
                looks_behind = looks_behind + 1 if behind else 0
                if looks_behind > (1 if behind > 1 else self._looks_one_behind):
                    raise ReplayLostError(
                        f"rank {self._rank} waits for {step}, its peers are at batch "
                        f"{step.batch + behind}; the sums to catch up with are gone"
                    )

        return watch

    @property
    def _looks_one_behind(self) -> int:
        return min(_MOST_LOOKS, 3 + int(_COMPUTES * self._longest_s / self._heal_s))

    def _is_whole(self, name: str) -> bool:
        found = self._channel.load_many([name])
        return name in found and is_whole(found[name])

    def _steps_behind(self, step: Step) -> int:
        """Return the distance to the frontier; move the frontier here if it is behind."""
        if self._frontier is None:
            return 0
        found = self._channel.load_many([self._frontier]).get(self._frontier)
        reached = int(bytes(found)) if found is not None else 0
        if reached < step.batch:
            self._channel.save(self._frontier, str(step.batch).encode())
        return max(0, reached - step.batch)

    def _heal(self) -> None:
        published = self._contributed | self._last_sums | self._sums
        there = self._channel.find_many([*published])
        self._publish({key: data for key, data in published.items() if key not in there})

    def _who_is_missing(self, step: Step) -> list[str]:
        ranks = range(self._workers.world_size)
        chunks = range(self._chunks)
        names = {r: [self._workers.contribution(step, r, c) for c in chunks] for r in ranks}
        found = self._channel.find_many([name for each in names.values() for name in each])
        silent = [
            f"rank {rank}'s contribution to {step}"
            for rank in ranks
            if not found.issuperset(names[rank])
        ]
        if silent:
            return silent
        sums = {c: self._workers.aggregate(step, c) for c in chunks}
        there = self._channel.find_many([*sums.values()])
        return [
            f"rank {chunk % self._workers.world_size}'s sum of {step}"
            for chunk, name in sums.items()
            if name not in there
        ]


class _MergedElsewhereError(Exception):
    """Another copy of this rank has made the sum already."""

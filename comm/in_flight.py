"""The exchange of workers that run at the same time and wait for each other at every step.

::

    contribute ──► wait for the others' contributions ──► add in rank order ──► publish the sum
        (every rank)            (the rank that merges a chunk)                         │
    every rank ◄──────────────────── wait for the sums of all chunks ◄─────────────────┘

The vector travels in chunks: while one is added, the next one is on its way. A rank's own numbers
for the chunks that it merges do not travel at all.

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
from typing import TypeVar

from comm.chunking import WHOLE, Chunking
from comm.exchange import InFlightExchange, Workers
from comm.garbage import Garbage
from comm.pace import Pace
from comm.published import Published
from comm.sums import Aggregate, Joint, cut, join, sum_in_rank_order
from comm.wire import Compression, Message, Vector, decode, encode, is_whole
from stepml.job.errors import DamagedValueError, ReplayLostError, WaitTimeoutError
from stepml.job.step import Step
from storage import Storage
from storage.base import Clock

HEAL_S = 2.0  # the longest delay by a lost value; each look costs a request
# The rank that made the last sum publishes it again when it waits for the next one. Until then it
# computes, about as long as this rank did: it gets so many times that.
_COMPUTES = 3
_MOST_LOOKS = 30
_AT_ONCE = 4  # chunks published together, at least

T = TypeVar("T")


class InFlight(InFlightExchange):
    """One rank's exchange in flight, over a storage.

    Parameters
    ----------
    workers : Workers
    rank : int
    channel : Storage
    chunking : Chunking
        From `chunking_of`.
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
        chunking: Chunking = WHOLE,
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
        self._chunking = chunking
        self._mine = chunking.of(rank)
        self._compression: Compression = compression
        self._watch = watch
        self._clock = clock
        self._published = Published(channel, compression)
        self._garbage = Garbage(channel)
        self._merge_pace, self._collect_pace = Pace(clock), Pace(clock)
        self._left_at = clock.monotonic()  # the last step, or the beginning
        self._longest_s = 0.0  # between two steps

    def all_reduce(self, step: Step, message: Message, into: Vector | None = None) -> Message:
        self._longest_s = max(self._longest_s, self._clock.monotonic() - self._left_at)
        self._published.begin_step()
        parts = cut(message, self._chunking.n_chunks)
        self._contribute(step, parts)
        # While the others' contributions are still on their way.
        self._garbage.flush_if_much()
        joint = Joint(message, len(parts), into)
        for chunk, part in self._merge(step, {chunk: parts[chunk] for chunk in self._mine}):
            joint.put(chunk, part)
        rest = [chunk for chunk in range(len(parts)) if chunk not in self._mine]
        for chunk, part in self._collect(step, rest):
            contribution = self._workers.contribution(step, self._rank, chunk)
            self._published.replace(contribution, joint.put(chunk, part))
        self._published.end_step()
        self._left_at = self._clock.monotonic()
        return joint.whole()

    def replay(self, step: Step) -> Message | None:
        names = self._aggregates(step)
        found = self._channel.load_many(names)
        try:
            return join([decode(found[name], name) for name in names])
        except (KeyError, DamagedValueError):
            return None

    def forget(self, steps: Iterable[Step]) -> None:
        self._garbage.add([name for step in steps for name in self._aggregates(step)])

    def close(self) -> None:
        self._garbage.flush()

    def withdraw(self) -> None:
        own = self._published.names
        self._garbage.add([*own, *([self._frontier] if self._frontier else [])])
        self._garbage.flush()

    def _contribute(self, step: Step, parts: Sequence[Message]) -> None:
        """Publish this rank's contributions to the chunks that others merge."""
        others = [chunk for chunk in range(len(parts)) if chunk not in self._mine]
        for chunks in self._groups(others):
            self._published.contribute(
                {self._workers.contribution(step, self._rank, c): parts[c] for c in chunks},
                [self._workers.aggregate(step, c) for c in chunks],
            )

    def _merge(self, step: Step, own: Mapping[int, Message]) -> Iterator[tuple[int, Message]]:
        """Yield the sums of the chunks that this rank merges, with their numbers."""
        left = [*own]
        while left:
            try:
                for chunk, part in self._merged(step, {chunk: own[chunk] for chunk in left}):
                    left.remove(chunk)
                    yield chunk, part
            except _MergedElsewhereError:  # by a copy of this rank
                whole = self._whole([self._workers.aggregate(step, chunk) for chunk in left])
                there = [c for c in left if self._workers.aggregate(step, c) in whole]
                yield from self._collect(step, there)
                left = [chunk for chunk in left if chunk not in there]

    def _merged(self, step: Step, own: Mapping[int, Message]) -> Iterator[tuple[int, Message]]:
        others = [rank for rank in range(self._workers.world_size) if rank != self._rank]
        names = {c: [self._workers.contribution(step, r, c) for r in others] for c in own}
        keys = {chunk: self._workers.aggregate(step, chunk) for chunk in own}
        awaited = [name for each in names.values() for name in each]
        with closing(self._waiting(step, awaited, self._merge_pace, [*keys.values()])) as arriving:
            for number, chunks in enumerate(self._groups([*own])):
                if number:  # the channel can use the memory of the group before
                    self._garbage.flush()
                sums = {keys[chunk]: self._sum(own[chunk], arriving) for chunk in chunks}
                firsts = self._published.add_sums(sums)
                for chunk, each in zip(chunks, sums.values(), strict=True):
                    self._garbage.add(names[chunk], len(others) * len(each.data))
                yield from zip(chunks, firsts, strict=True)

    def _sum(self, own: Message, arriving: Iterator[Message]) -> Aggregate:
        if self._compression != "none":
            own = decode(encode(own, self._compression), "own numbers")  # as others get theirs
        ranks = range(self._workers.world_size)
        contributions = (own if rank == self._rank else next(arriving) for rank in ranks)
        return sum_in_rank_order(contributions, self._compression)

    def _groups(self, items: Sequence[T]) -> Iterator[Sequence[T]]:
        """Yield ``items`` in parts that are published together."""
        size = max(_AT_ONCE, self._workers.world_size)
        return (items[start : start + size] for start in range(0, len(items), size))

    def _collect(self, step: Step, chunks: Sequence[int]) -> Iterator[tuple[int, Message]]:
        names = [self._workers.aggregate(step, chunk) for chunk in chunks]
        return zip(chunks, self._waiting(step, names, self._collect_pace), strict=True)

    def _waiting(
        self, step: Step, names: Sequence[str], pace: Pace, made: Sequence[str] = ()
    ) -> Generator[Message, None, None]:
        """Yield the messages under ``names`` in that order; a damaged one is awaited again.

        ``made`` are the keys of the sums that this rank makes of them.
        """
        watch = self._watcher(step, pace, made)
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

    def _watcher(self, step: Step, pace: Pace, made: Sequence[str]) -> Callable[[], None]:
        """Return the callback of a wait; ``made`` are the keys of the sums that this rank makes."""
        due = self._clock.monotonic() + self._heal_s
        looks_behind = 0

        def watch() -> None:
            nonlocal due, looks_behind
            pace.look()
            if self._watch is not None:
                self._watch()
            if self._clock.monotonic() >= due:
                due = self._clock.monotonic() + self._heal_s
                self._published.heal()
                next_one = [key for key in made if key not in self._published.names][:1]
                if self._whole(next_one):
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

    def _whole(self, names: Sequence[str]) -> set[str]:
        found = self._channel.load_many(names)
        return {name for name, data in found.items() if is_whole(data)}

    def _steps_behind(self, step: Step) -> int:
        """Return the distance to the frontier; move the frontier here if it is behind."""
        if self._frontier is None:
            return 0
        found = self._channel.load_many([self._frontier]).get(self._frontier)
        reached = int(bytes(found)) if found is not None else 0
        if reached < step.batch:
            self._channel.save(self._frontier, str(step.batch).encode())
        return max(0, reached - step.batch)

    def _aggregates(self, step: Step) -> list[str]:
        chunks = range(self._chunking.n_chunks)
        return [self._workers.aggregate(step, chunk) for chunk in chunks]

    def _who_is_missing(self, step: Step) -> list[str]:
        ranks, chunks = range(self._workers.world_size), range(self._chunking.n_chunks)
        names = {
            rank: [
                self._workers.contribution(step, rank, chunk)
                for chunk in chunks
                if self._chunking.merger(chunk) != rank
            ]
            for rank in ranks
        }
        found = self._channel.find_many([name for each in names.values() for name in each])
        silent = [rank for rank in ranks if not found.issuperset(names[rank])]
        if silent:
            return [f"rank {rank}'s contribution to {step}" for rank in silent]
        sums = self._aggregates(step)
        there = self._channel.find_many(sums)
        mergers = [self._chunking.merger(c) for c in chunks if sums[c] not in there]
        return [f"rank {rank}'s sum of {step}" for rank in dict.fromkeys(mergers)]


class _MergedElsewhereError(Exception):
    """Another copy of this rank has made the sum already."""

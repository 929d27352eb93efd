"""The exchange with the state machine as the barrier: no function waits and is billed for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from comm.exchange import OrchestratedExchange, Workers
from comm.sums import cut, cut_shape, join, sum_in_rank_order
from comm.wire import Compression, Message, Shape, decode, encode, is_whole
from stepml.job.errors import DamagedValueError, KeyNotFoundError, MissingContributionError
from stepml.job.step import Step
from storage import Storage

_LOADED_AT_ONCE = 16 * 2**20  # bytes: a reducer's memory must not grow with the world size


@dataclass(frozen=True, slots=True)
class Orchestrated(OrchestratedExchange):
    """Executors contribute and return; then other functions merge.

    Parameters
    ----------
    workers : Workers
    channel : Storage
    chunks : int
        1 is the pattern ``reduce``: one merger; the world size is ``reduce_scatter``.
    compression : {"none", "float16"}
    """

    workers: Workers
    channel: Storage
    chunks: int = 1
    compression: Compression = "none"

    def contribute(self, step: Step, rank: int, message: Message) -> None:
        self.channel.publish_many(
            {
                self.workers.contribution(step, rank, chunk): encode(part, self.compression)
                for chunk, part in enumerate(cut(message, self.chunks))
            }
        )

    def has_contributed(self, step: Step, rank: int, shape: Shape | None = None) -> bool:
        shapes = [None] * self.chunks if shape is None else cut_shape(shape, self.chunks)
        names = [self.workers.contribution(step, rank, chunk) for chunk in range(self.chunks)]
        found, expected = self.channel.load_many(names), dict(zip(names, shapes, strict=True))
        damaged = [name for name, data in found.items() if not is_whole(data, expected[name])]
        if damaged:
            # Otherwise the next publish would replace neither it nor a sum with it.
            self.channel.delete_many([*damaged, *self._aggregates(step)])
        return len(found) - len(damaged) == self.chunks

    def withdraw(self, step: Step, rank: int) -> None:
        chunks = range(self.chunks)
        self.channel.delete_many([self.workers.contribution(step, rank, c) for c in chunks])

    def sum(self, step: Step) -> Message:
        if self.chunks == 1:  # nobody else needs it: it is not published
            return sum_in_rank_order(self._contributions(step, 0), self.compression).message
        try:
            return self.collect(step)
        except (KeyNotFoundError, DamagedValueError):  # the channel lost the sum of a chunk
            for chunk in range(self.chunks):
                self.merge(step, chunk)
            return self.collect(step)

    def merge(self, step: Step, chunk: int = 0) -> Message:
        """Publish and return the sum of all ranks' contributions to a chunk; errors as of `sum`."""
        merged = sum_in_rank_order(self._contributions(step, chunk), self.compression)
        key = self.workers.aggregate(step, chunk)
        try:
            return decode(self.channel.publish(key, merged.data), key)
        except DamagedValueError:  # the stored one, which publish would not replace
            self.channel.delete(key)
            return decode(self.channel.publish(key, merged.data), key)

    def collect(self, step: Step) -> Message:
        """Return the sum that the mergers published.

        Raises
        ------
        KeyNotFoundError
            A chunk has not been merged.
        DamagedValueError
            The sum of a chunk is damaged.
        """
        names = self._aggregates(step)
        found = self.channel.load_many(names)
        if missing := [name for name in names if name not in found]:
            raise KeyNotFoundError(f"no aggregate of {step} under {missing[0]}")
        return join([decode(found[name], name) for name in names])

    def release(self, step: Step) -> None:
        chunks = range(self.chunks)
        contributions = [name for c in chunks for name in self.workers.contributions(step, c)]
        self.channel.delete_many([*contributions, *self._aggregates(step)])

    def withdraw_sum(self, step: Step, chunk: int) -> None:
        """Delete the sum of a chunk that was published too late to be cleared with the epoch."""
        self.channel.delete(self.workers.aggregate(step, chunk))

    def _aggregates(self, step: Step) -> list[str]:
        return [self.workers.aggregate(step, chunk) for chunk in range(self.chunks)]

    def _contributions(self, step: Step, chunk: int) -> Iterator[Message]:
        """Yield the contributions in rank order, with few of them in memory."""
        names = self.workers.contributions(step, chunk)
        at_once, start = 1, 0
        while start < len(names):
            batch = names[start : start + at_once]
            found = self.channel.load_many(batch)
            if len(found) < len(batch):
                present = self.channel.find_many(names) - set(batch) | found.keys()
                missing = [rank for rank, name in enumerate(names) if name not in present]
                raise MissingContributionError(missing, str(step))
            start += len(batch)
            at_once = max(1, _LOADED_AT_ONCE // max(1, len(found[batch[0]])))
            for name in batch:
                yield decode(found.pop(name), name)  # not held while the next ones are loaded

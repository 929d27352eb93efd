"""The arithmetic of an exchange: cutting and adding vectors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from comm.wire import Compression, Draft, Message, Shape, Vector, decode, encode
from stepml.job.errors import DamagedValueError
from stepml.job.stopwatch import timed


def chunk_slices(size: int, chunks: int) -> list[slice]:
    """Return the slices that cut ``size`` numbers into ``chunks`` whose sizes differ by one."""
    ends = [number * size // chunks for number in range(chunks + 1)]
    return [slice(start, stop) for start, stop in pairwise(ends)]


def cut(message: Message, chunks: int) -> list[Message]:
    """Return the chunks of a message as views; the trailer travels with the first one."""
    if chunks == 1:
        return [message]
    slices = chunk_slices(message.vector.size, chunks)
    nothing = message.trailer[:0]
    return [
        Message(message.vector[each], message.trailer if number == 0 else nothing, message.pause)
        for number, each in enumerate(slices)
    ]


def cut_shape(shape: Shape, chunks: int) -> list[Shape]:
    """Return the shapes of the chunks of a message."""
    size, trailer_size = shape
    sizes = [each.stop - each.start for each in chunk_slices(size, chunks)]
    return [(each, 0 if number else trailer_size) for number, each in enumerate(sizes)]


def join(chunks: Sequence[Message]) -> Message:
    """Return the message whose chunks these are."""
    if len(chunks) == 1:
        return chunks[0]
    vector = np.concatenate([chunk.vector for chunk in chunks])
    return Message(vector, chunks[0].trailer, any(chunk.pause for chunk in chunks))


class Joint:
    """The place where a message's chunks are put together, in any order.

    Parameters
    ----------
    like : Message
        One with the same chunks.
    chunks : int
        One chunk stays where it is.
    vector : array, optional
        The place of the vector; left out: allocated here.
    """

    def __init__(self, like: Message, chunks: int, vector: Vector | None = None) -> None:
        self._slices = chunk_slices(like.vector.size, chunks)
        if vector is None and chunks > 1:
            vector = np.empty_like(like.vector)
        self._vector = vector
        self._chunks: dict[int, Message] = {}

    def put(self, number: int, chunk: Message) -> Message:
        """Put a chunk at its place, and return it there."""
        if len(self._slices) > 1:
            assert self._vector is not None
            place = self._vector[self._slices[number]]
            place[:] = chunk.vector
            chunk = Message(place, chunk.trailer, chunk.pause)
        self._chunks[number] = chunk
        return chunk

    def whole(self) -> Message:
        """Return the message, once it has all chunks."""
        if len(self._slices) == 1:
            return self._chunks[0]
        assert self._vector is not None
        pause = any(chunk.pause for chunk in self._chunks.values())
        return Message(self._vector, self._chunks[0].trailer, pause)


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A sum and its encoded bytes."""

    message: Message
    data: memoryview


def sum_in_rank_order(contributions: Iterable[Message], compression: Compression) -> Aggregate:
    """Return the sum, which has the same bits on every channel and in every pattern.

    It is a copy of rank 0's numbers, then ``+=`` in rank order, in the numbers' own type. Ranks
    weight their vectors before they contribute, so the sum is a weighted mean. Contributions are
    consumed one after another: only one needs to be in memory.
    """
    with timed("merge"):
        return _summed(iter(contributions), compression)


def _summed(ranks: Iterator[Message], compression: Compression) -> Aggregate:
    first = next(ranks)
    draft = Draft(first.vector.size, first.vector.dtype, first.trailer.size)
    draft.vector[:] = first.vector
    draft.trailer[:] = first.trailer
    pause = first.pause
    for rank, other in enumerate(ranks, start=1):
        if other.shape != first.shape:
            raise DamagedValueError(
                f"rank {rank} contributed {other.vector.size} + {other.trailer.size} numbers, "
                f"rank 0 {first.vector.size} + {first.trailer.size}; another version of StepML "
                "may have trained one of them"
            )
        draft.vector += other.vector
        draft.trailer += other.trailer
        pause |= other.pause
    message, data = draft.finish(pause=pause)
    if compression == "none":
        return Aggregate(message, data)
    data = encode(message, compression)
    return Aggregate(decode(data, "the aggregate"), data)  # as all other ranks get it

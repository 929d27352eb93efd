"""The chunks of vectors in flight."""

from __future__ import annotations

from dataclasses import dataclass

from storage import Storage

_MARGIN_BYTES = 4096  # of a block: for header and trailer


@dataclass(frozen=True, slots=True)
class Chunking:
    """The chunks of a vector in flight, and the ranks that merge them in turn, from rank 0 on."""

    n_chunks: int = 1
    n_mergers: int = 1

    def merger(self, chunk: int) -> int:
        """Return the rank that merges ``chunk``."""
        return chunk % self.n_mergers

    def of(self, rank: int) -> list[int]:
        """Return the chunks that ``rank`` merges."""
        return [chunk for chunk in range(self.n_chunks) if self.merger(chunk) == rank]


WHOLE = Chunking()


def chunking_of(pattern: str, world_size: int, vector_bytes: int, channel: Storage) -> Chunking:
    """Return how a pattern cuts a vector in flight.

    The chunks of ``reduce`` have one merger, rank 0. Those of ``reduce_scatter`` have all ranks,
    unless the vector is so small that a chunk is not worth a request to ``channel``. There are
    more chunks than mergers if the channel transfers large values in blocks anyway, and wakes
    those who wait for the next one.
    """
    mergers = 1
    if pattern == "reduce_scatter":
        mergers = max(1, min(world_size, vector_bytes // channel.request_bytes))
    if channel.block_bytes is None or not channel.wakes_waiters:
        return Chunking(mergers, mergers)
    rounds = -(-vector_bytes // (mergers * (channel.block_bytes - _MARGIN_BYTES)))
    return Chunking(mergers * max(1, rounds), mergers)

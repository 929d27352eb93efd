"""An all-reduce of processes of one machine, through memory that they share."""

from __future__ import annotations

import time
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import numpy as np

from stepml.ml.algorithms.state import Sums
from stepml.ml.models.base import Array

WAIT_S = 600.0  # the longest that a rank waits for its peers
_NUMBER_BYTES = 8


@dataclass(frozen=True, slots=True)
class Total:
    """The sum of all ranks' numbers."""

    vector: Array
    trailer: Sums
    pause: bool = False


class SharedSum:
    """The sum of vectors of some processes, which fork after it is made.

    Each rank adds its share of all vectors, in rank order: the same bits as in a job.

    Parameters
    ----------
    world_size : int
    vector_size, trailer_size : int
        Numbers of a rank, of any type of at most eight bytes; and its float64 sums.
    """

    def __init__(self, world_size: int, vector_size: int, trailer_size: int) -> None:
        fork = get_context("fork")
        self._sizes = vector_size, trailer_size
        self.world_size = world_size
        rows = world_size + 1  # the last one is the sum
        self._vectors: Any = fork.RawArray("b", max(1, rows * vector_size * _NUMBER_BYTES))
        self._trailers: Any = fork.RawArray("b", max(1, world_size * trailer_size * _NUMBER_BYTES))
        self._flag: Any = fork.RawArray("b", 1)
        self._barrier = fork.Barrier(world_size)

    def of(self, rank: int) -> RankSum:
        """Return the side of a rank."""
        return RankSum(self, rank)

    def abort(self) -> None:
        """End all waits with an error: a rank has failed."""
        self._barrier.abort()

    def wait(self) -> None:
        """Wait for all ranks, or raise `threading.BrokenBarrierError`."""
        self._barrier.wait(WAIT_S)

    def vectors(self, dtype: np.dtype[Any]) -> Array:
        """Return the vectors of all ranks, (world_size + 1, n); the last row is the sum."""
        n, rows = self._sizes[0], self.world_size + 1
        return np.frombuffer(self._vectors, dtype, rows * n).reshape(rows, n)

    def trailers(self) -> Sums:
        """Return the other sums of all ranks, (world_size, n)."""
        n = self._sizes[1]
        return np.frombuffer(self._trailers, np.float64, self.world_size * n).reshape(-1, n)

    @property
    def flag(self) -> bool:
        """The value that rank 0 has told all others."""
        return bool(self._flag[0])

    @flag.setter
    def flag(self, value: bool) -> None:
        self._flag[0] = value


class RankSum:
    """One rank's side: the exchange of an algorithm whose ranks wait for each other.

    Attributes
    ----------
    exchange_s : float
        Seconds in all exchanges so far, waits for peers included.
    """

    def __init__(self, shared: SharedSum, rank: int) -> None:
        self._shared = shared
        self._rank = rank
        self.exchange_s = 0.0

    def all_reduce(self, batch: int, vector: Array, trailer: Sums, pause: bool) -> Total:
        """Return the sum of all ranks' numbers; it is in ``vector``."""
        began = time.perf_counter()
        shared, rank, size = self._shared, self._rank, self._shared.world_size
        rows, trailers = shared.vectors(vector.dtype), shared.trailers()
        rows[rank], trailers[rank] = vector, trailer
        shared.wait()
        own = slice(rank * len(vector) // size, (rank + 1) * len(vector) // size)
        total, sums = rows[-1], trailers[0].copy()
        total[own] = rows[0, own]
        for other in range(1, size):
            total[own] += rows[other, own]
            sums += trailers[other]
        shared.wait()
        vector[:] = total
        self.exchange_s += time.perf_counter() - began
        return Total(vector, sums)

    def replay(self, batch: int) -> Total | None:
        """Return None: no rank is called again."""
        return None

    def agree(self, is_over: bool) -> bool:
        """Return the decision of rank 0."""
        began = time.perf_counter()
        if self._rank == 0:
            self._shared.flag = is_over
        self._shared.wait()
        decided = self._shared.flag
        self._shared.wait()  # before the next answer
        self.exchange_s += time.perf_counter() - began
        return decided

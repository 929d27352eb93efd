"""Gradient averaging: mini-batch SGD on the batches of all ranks together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from stepml.job.spec import GradientAveraging as Spec
from stepml.ml.algorithms.base import (
    AllReduce,
    AsynchronousAlgorithm,
    InFlightAlgorithm,
    Progress,
    Shared,
    never,
)
from stepml.ml.models.base import Array, Floats, Model

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class GradientAveraging(InFlightAlgorithm):
    """Every step is one of SGD on the rows that all ranks take for it.

    A rank's gradient counts by its rows, so the sum is the gradient of all these rows, and the
    penalty is in it once. The same step on the same sum keeps the replicas equal, bit by bit.
    """

    spec: Spec

    def n_batches(self, shard_rows: Sequence[int]) -> int:
        return _n_batches(self.spec, shard_rows)

    def steps(
        self,
        model: Model,
        progress: Progress,
        X: Floats,
        y: Floats,
        *,
        rank: int,
        shard_rows: Sequence[int],
        seed: tuple[int, ...],
        exchange: AllReduce,
        must_pause: Callable[[], bool] = never,
    ) -> Iterator[Progress]:
        batches = Batches.plan(rank, shard_rows, self.n_batches(shard_rows), seed)
        w, gradient = progress.parameters.copy(), np.empty_like(progress.parameters)
        trailer = np.empty(2, np.float64)
        learning_rate = np.float32(self.spec.learning_rate)
        loss_sum, rows_seen = progress.loss_sum, progress.rows_seen
        live = False
        for number in range(progress.batches_done + 1, len(batches) + 1):
            aggregate = None if live else exchange.replay(number)
            if aggregate is None:
                live = True
                rows, weight = batches[number]
                trailer[:] = _gradient(model, w, X[rows], y[rows], weight, out=gradient)
                aggregate = exchange.all_reduce(number, gradient, trailer, must_pause())
            np.multiply(aggregate.vector, learning_rate, out=gradient)
            w -= gradient
            loss_sum += float(aggregate.trailer[0])
            rows_seen += int(aggregate.trailer[1])
            yield Progress(w, number, loss_sum, rows_seen, finished=number == len(batches))
            if live and aggregate.pause:  # whoever replays it has paused already
                return


@dataclass(frozen=True, slots=True)
class AsynchronousGradients(AsynchronousAlgorithm):
    """Every batch of every rank is a step of its own on the shared model.

    So an epoch has as many steps as all ranks have batches, each on the rows of one rank, and a
    gradient is that of the model some steps ago.
    """

    spec: Spec

    def n_batches(self, shard_rows: Sequence[int]) -> int:
        return _n_batches(self.spec, shard_rows)

    def train(
        self,
        model: Model,
        X: Floats,
        y: Floats,
        *,
        rank: int,
        shard_rows: Sequence[int],
        seed: tuple[int, ...],
        shared: Shared[Any],
        must_pause: Callable[[], bool] = never,
    ) -> bool:
        batches = Batches.plan(rank, shard_rows, self.n_batches(shard_rows), seed)
        state = shared.pull()
        step = np.empty_like(state.vector)
        learning_rate = np.float32(self.spec.learning_rate)

        def descend(w: Array) -> None:
            w -= step

        first = int(state.applied[rank]) + 1
        for number in range(first, len(batches) + 1):
            if number > first and must_pause():
                return False
            rows, _ = batches[number]
            told = _gradient(model, state.vector, X[rows], y[rows], weight=1.0, out=step)
            step *= learning_rate
            state = shared.push(number, state, descend, told)
        return True


@dataclass(frozen=True, slots=True, eq=False)
class Batches:
    """The rows that one rank takes for each batch of an epoch.

    Each shard is cut into the same number of slices, so no rank runs short of rows: as many as the
    largest needs. Their sizes differ by at most one row, and all ranks take slices of the same
    number at a time, in an order drawn anew for each epoch. Shards were shuffled when the data
    were partitioned, so slices are consecutive rows (views, no copies).
    """

    bounds: Counts  # (n + 1,) first row of each slice of this rank, and the row behind the last
    totals: Counts  # (n,) rows of each slice, of all ranks together
    order: Counts  # (n,) which slice each batch takes

    @classmethod
    def plan(
        cls, rank: int, shard_rows: Sequence[int], n_batches: int, seed: tuple[int, ...]
    ) -> Self:
        """Return the batches of ``rank``; parameters as of `InFlightAlgorithm.steps`."""
        cuts = np.arange(n_batches + 1, dtype=np.int64)
        totals = np.zeros(n_batches, np.int64)
        for n_samples in shard_rows:
            totals += np.diff(cuts * n_samples // n_batches)
        order = np.random.Generator(np.random.PCG64([*seed])).permutation(n_batches)
        return cls(cuts * shard_rows[rank] // n_batches, totals, order)

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, number: int) -> tuple[slice, float]:
        """Return the rank's rows of batch ``number`` (from 1), and its share of all ranks' rows."""
        chosen = self.order[number - 1]
        start, stop = int(self.bounds[chosen]), int(self.bounds[chosen + 1])
        return slice(start, stop), (stop - start) / int(self.totals[chosen])


def _n_batches(spec: Spec, shard_rows: Sequence[int]) -> int:
    return -(-max(shard_rows) // spec.batch_size)


def _gradient(
    model: Model, w: Floats, X: Floats, y: Floats, weight: float, out: Floats
) -> tuple[float, int]:
    """Write the weighted gradient to ``out``; return the sum of losses, and the rows."""
    if not len(y):  # a shard with fewer rows than there are batches
        out[:] = 0
        return 0.0, 0
    loss = model.gradient(w, X, y, out=out)
    out *= np.float32(weight)
    return loss * len(y), len(y)

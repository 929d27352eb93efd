"""Gradient averaging: mini-batch descent on the batches of all ranks together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self, cast

import numpy as np
import numpy.typing as npt

from stepml.job.algorithms import GradientAveraging as Spec
from stepml.job.spec import JobSpec
from stepml.ml.algorithms.base import AsynchronousAlgorithm, InFlightAlgorithm, never
from stepml.ml.algorithms.descent import Descent, take
from stepml.ml.algorithms.local import MOMENTS
from stepml.ml.algorithms.peers import AllReduce, Shared, SharedWithOptimiser
from stepml.ml.algorithms.state import RankEpoch, RankProgress, State
from stepml.ml.models.base import Array, Floats, LossModel, Matrix

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class GradientAveraging(InFlightAlgorithm[LossModel]):
    """Every step is one of the optimiser on the rows that all ranks take for it.

    A rank's gradient counts by its rows, so the sum is the gradient of all these rows; the penalty
    is added to the sum, once. The same step on the same sum keeps the replicas equal, bit by bit.
    The optimiser's moments, which are replicas too, go on from epoch to epoch.
    """

    spec: Spec
    max_epochs: int

    @classmethod
    def from_job(cls, job: JobSpec) -> GradientAveraging | AsynchronousGradients:
        """Return the algorithm of a job, in the variant for its pattern."""
        assert isinstance(job.algorithm, Spec)
        if job.exchange.pattern == "async":
            on_server = job.exchange.server_update != "none"
            return AsynchronousGradients(job.algorithm, job.stop.max_epochs, on_server)
        return cls(job.algorithm, job.stop.max_epochs)

    def initial_state(self, model: LossModel, parameters: Floats) -> State:
        return State(parameters, {MOMENTS: self._descent().moments(len(parameters))})

    def n_batches(self, shard_rows: Sequence[int]) -> int:
        return _n_batches(self.spec, shard_rows)

    def steps(
        self,
        model: LossModel,
        progress: RankProgress,
        X: Matrix,
        y: Array,
        rank_epoch: RankEpoch,
        exchange: AllReduce,
        must_pause: Callable[[], bool] = never,
    ) -> Iterator[RankProgress]:
        batches = Batches.plan(rank_epoch, self.n_batches(rank_epoch.shard_rows))
        descent, steps_before = self._descent(), (rank_epoch.epoch - 1) * len(batches)
        w, gradient = progress.parameters.copy(), np.empty_like(progress.parameters)
        moments = progress.extras[MOMENTS].copy()
        trailer = np.empty(2, np.float64)
        loss_sum, rows_seen = progress.loss_sum, progress.rows_seen
        live = False
        for number in range(progress.batches_done + 1, len(batches) + 1):
            aggregate = None if live else exchange.replay(number)
            if aggregate is None:
                live = True
                rows, weight = batches[number]
                trailer[:] = _gradient(model, w, X[rows], y[rows], weight, out=gradient)
                aggregate = exchange.all_reduce(number, gradient, trailer, must_pause())
            gradient[:] = aggregate.vector
            epochs = rank_epoch.epoch - 1 + (number - 0.5) / len(batches)
            steps = steps_before + number
            rate = descent.step(w, gradient, model.penalty, moments, epochs, steps)
            take(w, gradient, model.penalty, rate)
            loss_sum += float(aggregate.trailer[0])
            rows_seen += int(aggregate.trailer[1])
            finished = number == len(batches)
            yield RankProgress(w, number, loss_sum, rows_seen, finished, {MOMENTS: moments})
            if live and aggregate.pause:  # whoever replays it has paused already
                return

    def _descent(self) -> Descent:
        return Descent.of(self.spec, self.max_epochs)


@dataclass(frozen=True, slots=True)
class AsynchronousGradients(AsynchronousAlgorithm[LossModel]):
    """Every batch of every rank is a step of its own on the shared model.

    So an epoch has as many steps as all ranks have batches, each on the rows of one rank, and a
    gradient is that of the model some steps ago. Each rank has an optimiser of its own, or the
    model has one for the gradients of all; its moments start afresh each epoch.
    """

    spec: Spec
    max_epochs: int
    is_on_server: bool = False  # the optimiser: ranks push gradients

    def n_updates(self, shard_rows: Sequence[int]) -> int:
        return _n_batches(self.spec, shard_rows)

    def train(
        self,
        model: LossModel,
        X: Matrix,
        y: Array,
        rank_epoch: RankEpoch,
        shared: Shared[Any],
        must_pause: Callable[[], bool] = never,
    ) -> bool:
        batches = Batches.plan(rank_epoch, self.n_updates(rank_epoch.shard_rows))
        descent = Descent.of(self.spec, self.max_epochs)
        state = shared.pull()
        gradient, moments = np.empty_like(state.vector), descent.moments(len(state.vector))
        first = int(state.applied[rank_epoch.rank]) + 1
        for number in range(first, len(batches) + 1):
            if number > first and must_pause():
                return False
            rows, _ = batches[number]
            totals = _gradient(model, state.vector, X[rows], y[rows], weight=1.0, out=gradient)
            if self.is_on_server:
                descent.complete(state.vector, gradient, model.penalty)
                # exchange.server_update is refused with every channel that has no optimiser.
                server = cast(SharedWithOptimiser[Any], shared)
                state = server.push_gradient(number, state, gradient, totals)
                continue
            epochs, steps = rank_epoch.epoch - 1 + (number - 0.5) / len(batches), number - first + 1
            rate = descent.step(state.vector, gradient, model.penalty, moments, epochs, steps)
            change = partial(take, step=gradient, penalty=model.penalty, learning_rate=rate)
            state = shared.push(number, state, change, totals)
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
    def plan(cls, rank_epoch: RankEpoch, n_batches: int) -> Self:
        """Return the batches of a rank's rank_epoch."""
        cuts = np.arange(n_batches + 1, dtype=np.int64)
        totals = np.zeros(n_batches, np.int64)
        for n_samples in rank_epoch.shard_rows:
            totals += np.diff(cuts * n_samples // n_batches)
        order = rank_epoch.generator().permutation(n_batches)
        return cls(cuts * rank_epoch.shard_rows[rank_epoch.rank] // n_batches, totals, order)

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
    model: LossModel, w: Floats, X: Matrix, y: Array, weight: float, out: Floats
) -> tuple[float, int]:
    """Write the weighted gradient to ``out``; return the sum of losses, and the rows."""
    if not len(y):  # a shard with fewer rows than there are batches
        out[:] = 0
        return 0.0, 0
    loss = model.gradient(w, X, y, out=out)
    out *= np.float32(weight)
    return loss * len(y), len(y)

"""Gradient averaging: mini-batch descent on the batches of all ranks together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Self, cast

import numpy as np
import numpy.typing as npt

from stepml.job.algorithms import GradientAveraging as Spec
from stepml.job.spec import JobSpec
from stepml.job.spec_base import settled
from stepml.ml.algorithms.base import InFlightAlgorithm, LabelledSample, never
from stepml.ml.algorithms.descent import Descent
from stepml.ml.algorithms.path import MOMENTS, Path
from stepml.ml.algorithms.peers import AllReduce, Shared, SharedWithOptimiser
from stepml.ml.algorithms.shared_descent import SharedDescent
from stepml.ml.algorithms.shrinkage import bytes_per_parameter, extras_ahead, faded, shrunk
from stepml.ml.algorithms.state import Extras, RankEpoch, RankProgress, State
from stepml.ml.models.base import Array, Draws, Floats, LossModel, Matrix

Counts = npt.NDArray[np.int64]

_SINCE = "moments_since"  # name in `RankProgress.extras`: the epochs before the moments began


@dataclass(frozen=True, slots=True)
class GradientAveraging(InFlightAlgorithm[LossModel]):
    """All ranks make the same step, along the gradient of the rows of all of them.

    A rank's gradient is weighted by its rows, so the sum is the gradient of all rows of the batch.
    The penalty is added once, to the sum. Because each rank makes the same step from the same sum,
    the replicas stay equal, bit by bit. The optimiser's moments last from epoch to epoch.
    """

    spec: Spec
    max_epochs: int | None
    bytes_per_parameter: int = 40

    @classmethod
    def from_job(cls, job: JobSpec) -> GradientAveraging | AsynchronousGradients:
        if job.exchange.pattern == "async":
            return AsynchronousGradients.from_job(job)
        assert isinstance(job.algorithm, Spec)
        return cls(job.algorithm, job.stop.max_epochs, bytes_per_parameter(job.model))

    def initial_state(self, model: LossModel, parameters: Floats, sample: LabelledSample) -> State:
        ahead = extras_ahead(self.spec, model, parameters, sample)
        return State(parameters, {MOMENTS: self._descent().moments(model.n_trained), **ahead})

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
        extras = progress.extras if progress.batches_done else faded(progress.extras)
        extras = self._with_moments(model, extras, rank_epoch)
        since = {name: extras[name].copy() for name in extras if name == _SINCE}
        epochs_before = rank_epoch.epoch - 1 - sum(each.item() for each in since.values())
        steps_before = epochs_before * len(batches)
        path = Path(self._descent(), model.penalty, progress.parameters, extras)
        gradient, trailer = np.empty_like(path.w), np.empty(2, np.float64)
        loss_sum, rows_seen = progress.loss_sum, progress.rows_seen
        first = progress.batches_done + 1
        del progress, extras  # they are as large as the path, which has copies
        part = RankGradient(model, X, y, rank_epoch.draws, self.spec.accumulate)
        live = False
        for number in range(first, len(batches) + 1):
            aggregate = None if live else exchange.replay(number)
            if aggregate is None:
                live = True
                rows, weight = batches[number]
                trailer[:] = part.write(path.w, rows, number, weight, out=gradient)
                aggregate = exchange.all_reduce(number, gradient, trailer, must_pause())
            if aggregate.vector is not gradient:
                gradient[:] = aggregate.vector
            epochs = rank_epoch.epoch - 1 + (number - 0.5) / len(batches)
            path.step(gradient, epochs, steps_before + number)
            loss_sum += float(aggregate.trailer[0])
            rows_seen += int(aggregate.trailer[1])
            is_last = live and aggregate.pause  # a rank that replays the batch has paused before
            aggregate = None  # its memory is for the next gradient
            finished = number == len(batches)
            extras = {**path.extras, **since}
            yield RankProgress(path.w, number, loss_sum, rows_seen, finished, extras)
            if is_last:
                return

    def _with_moments(self, model: LossModel, extras: Extras, rank_epoch: RankEpoch) -> Extras:
        """Return extras with moments: 0 if a job resumes one without them, an asynchronous one."""
        if MOMENTS in extras:
            return extras
        moments = self._descent().moments(model.n_trained)
        return {**extras, MOMENTS: moments, _SINCE: np.array([rank_epoch.epoch - 1])}

    def _descent(self) -> Descent:
        return Descent.of(self.spec, self.max_epochs)


@dataclass(frozen=True, slots=True)
class AsynchronousGradients(SharedDescent):
    """Every batch of every rank is one step of the shared model.

    Each step uses the rows of one rank, and a gradient of the model some steps ago. Each rank has
    its own optimiser, or the shared model has one for all. The moments start at 0 in each epoch.
    """

    spec: Spec
    max_epochs: int | None
    is_on_server: bool = False  # the server has the optimiser: ranks push gradients
    bytes_per_parameter: int = 40

    @classmethod
    def from_job(cls, job: JobSpec) -> AsynchronousGradients:
        assert isinstance(job.algorithm, Spec)
        on_server = job.exchange.server_update != "none"
        needed = bytes_per_parameter(job.model)
        return cls(job.algorithm, job.stop.max_epochs, on_server, needed)

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
        gradient = np.empty(model.n_parameters, np.float32)
        moments = descent.moments(model.n_trained)
        part = RankGradient(model, X, y, rank_epoch.draws, self.spec.accumulate)
        first = int(state.applied[rank_epoch.rank]) + 1
        for number in range(first, len(batches) + 1):
            if number > first and must_pause():
                return False
            rows, _ = batches[number]
            w = shrunk(state.vector, model.penalty).parameters
            totals = part.write(w, rows, number, weight=1.0, out=gradient)
            if self.is_on_server:
                descent.complete(w, gradient, model.penalty)
                # Jobs on a channel without an optimiser are refused.
                server = cast(SharedWithOptimiser[Any], shared)
                state = server.push_gradient(number, state, gradient, totals)
                continue
            epochs, steps = rank_epoch.epoch - 1 + (number - 0.5) / len(batches), number - first + 1
            rate = descent.step(w, gradient, model.penalty, moments, epochs, steps)
            step = gradient
            if model.penalty.l1:
                reach = descent.optimiser.reach(moments, rate, steps)
                step = np.append(gradient, np.float32(-reach.length * model.penalty.l1))
            state = shared.push(number, state, partial(_subtract, step=step), totals)
        return True


@dataclass(frozen=True, slots=True, eq=False)
class Batches:
    """The rows of one rank in each batch of an epoch.

    Each shard is cut into the same number of slices, as many as the largest shard needs, so all
    ranks have the same number of batches. The sizes of a shard's slices differ by at most one row.
    A batch consists of the slices with one number, and the order of batches is random in each
    epoch. Partitioning has shuffled the shards, so slices are consecutive rows (views, no copies).
    """

    bounds: Counts  # (n + 1,) first row of each slice of this rank, and the end of the last
    totals: Counts  # (n,) rows of each slice, summed over ranks
    order: Counts  # (n,) the slice of each batch

    @classmethod
    def plan(cls, rank_epoch: RankEpoch, n_batches: int) -> Self:
        """Return the batches of a rank in an epoch."""
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
    return -(-max(shard_rows) // settled(spec.batch_size))


@dataclass(frozen=True, slots=True, eq=False)
class RankGradient:
    """The gradient on a rank's rows."""

    model: LossModel
    X: Matrix
    y: Array
    draws: Draws
    n_parts: int  # of a batch, one after another

    def write(
        self, w: Floats, rows: slice, batch: int, weight: float, out: Floats
    ) -> tuple[float, int]:
        """Write the weighted gradient to ``out``; return the sum of losses, and the rows."""
        n_rows = rows.stop - rows.start
        if not n_rows:  # a shard with fewer rows than there are batches
            out[:] = 0
            return 0.0, 0
        if self.n_parts == 1:
            loss = self._write_part(w, rows, batch, out)
        else:
            loss = self._write_parts(w, rows, batch, out)
        out *= np.float32(weight)
        return loss * n_rows, n_rows

    def _write_parts(self, w: Floats, rows: slice, batch: int, out: Floats) -> float:
        n_rows = rows.stop - rows.start
        n_parts = min(self.n_parts, n_rows)
        bounds = [rows.start + n_rows * part // n_parts for part in range(n_parts + 1)]
        total, loss = np.zeros_like(out), 0.0
        for number, (start, stop) in enumerate(pairwise(bounds)):
            share = (stop - start) / n_rows
            # Batches have other numbers, so that parts draw apart.
            name = batch * self.n_parts + number
            loss += share * self._write_part(w, slice(start, stop), name, out)
            out *= np.float32(share)
            total += out
        out[:] = total
        return loss

    def _write_part(self, w: Floats, rows: slice, batch: int, out: Floats) -> float:
        X, y = self.X[rows], self.y[rows]
        return self.model.batch_gradient(w, X, y, out, self.draws, batch, rows.start)


def _subtract(w: Array, step: Array) -> None:
    w -= step

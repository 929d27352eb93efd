"""A short run of a job of descent, on a sample of its rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import msgspec
import numpy as np

from stepml.job.algorithm_base import Descent as Fields
from stepml.job.spec import JobSpec
from stepml.job.spec_base import settled
from stepml.ml.algorithms.descent import Descent
from stepml.ml.algorithms.local import LocalDescent
from stepml.ml.algorithms.shrinkage import Shrinkage, extras_ahead, faded, shrunk, unshrunk
from stepml.ml.algorithms.state import RankEpoch, RankProgress, State
from stepml.ml.matrices import CsrMatrix, product, transposed_product
from stepml.ml.models.base import Array, Floats, LossModel, Matrix

_WORK = 5e8  # multiply-adds of a rehearsal, about: a fraction of a second
_SPARSE_COST = 20  # of a stored value of a sparse row, relative to a dense one
_LEAST_STEPS, _MOST_STEPS = 20, 400  # of a rehearsal
_OPERATIONS = 20  # with each parameter in a step, beside the rows
_MOST_WORK = 4 * _WORK  # of a rehearsal; larger models have none
_RANKS = 4  # of a rehearsal, at most
_LEAST_ROWS = 8  # of a step
_HELD_OUT = 5  # one row of so many measures the others' model
_POWER_STEPS = 30
_ADAM_UNIT = 0.02  # its steps do not depend on the size of gradients


class Result(NamedTuple):
    """The quality of a model; lower is better."""

    objective: float  # of its rows, with the penalty
    elsewhere: float  # the loss of other rows; 0 if there is a penalty


_DIVERGED = Result(math.inf, math.inf)


@dataclass(frozen=True)
class Rehearsal:
    """A short run of a job on a sample, by one process."""

    spec: JobSpec
    fields: Fields
    model: LossModel
    start: Floats
    X: Matrix
    y: Array

    def result(self, rate: float) -> Result:
        """Return the quality of a model that was trained with ``rate``."""
        with np.errstate(all="ignore"):
            return self.quality(self._trained(rate))

    def quality(self, w: Floats) -> Result:
        """Return the quality of parameters."""
        if not np.isfinite(w).all():
            return _DIVERGED
        with np.errstate(all="ignore"):
            held_out, rows = slice(self._held_out), slice(self._held_out, self._last)
            penalty = self.model.penalty.value(w)
            objective = self._loss(w, rows) + penalty
            # A penalty keeps parameters small. Without one, the least loss may be infinitely far.
            elsewhere = 0.0 if penalty or not self._held_out else self._loss(w, held_out)
        result = Result(objective, elsewhere)
        return result if all(map(math.isfinite, result)) else _DIVERGED

    @cached_property
    def unit(self) -> float:
        """The unit of rates."""
        if self.fields.optimiser == "adam":
            return _ADAM_UNIT
        largest = _largest_eigenvalue(self.X[: self._held_out + self._rows])
        return 1 / largest if math.isfinite(largest) and largest > 0 else 1.0

    @cached_property
    def _ranks(self) -> int:
        return min(self.spec.workers, _RANKS) if self.fields.averages_models else 1

    @cached_property
    def _held_out(self) -> int:
        return 0 if self.fields.starts_at_sample else len(self.y) // _HELD_OUT

    @property
    def _last(self) -> int:
        """The end of the rows whose objective counts."""
        # The start is best for all of them: some could only say how fast it is left.
        return len(self.y) if self.fields.starts_at_sample else self._held_out + self._rows

    @cached_property
    def _batch(self) -> int:
        """The rows of each of the rehearsal's ranks in a step."""
        rows = settled(self.fields.batch_size)
        if not self.fields.averages_models:
            rows *= self.spec.workers
        a_step = _WORK / self._steps / self._ranks
        affordable = int((a_step - self._step_work(0)) / self._row_work)
        return max(1, min(rows, max(affordable, _LEAST_ROWS), self._share))

    @property
    def is_affordable(self) -> bool:
        """Whether the model is small enough."""
        return self._steps * self._ranks * self._step_work(_LEAST_ROWS) <= _MOST_WORK

    @cached_property
    def _steps(self) -> int:
        """The steps of each rank."""
        affordable = int(_WORK / self._ranks / self._step_work(_LEAST_ROWS))
        return max(_LEAST_STEPS, min(affordable, _MOST_STEPS))

    def _step_work(self, rows: int) -> float:
        """Return the multiply-adds of a step, about."""
        return rows * self._row_work + _OPERATIONS * self.model.n_parameters

    @cached_property
    def _row_work(self) -> float:
        n_features: int = self.X.shape[1]
        width: float = n_features
        if isinstance(self.X, CsrMatrix):
            width = _SPARSE_COST * self.X.nnz / len(self.X)
        return 2 * (1 + width) * self.model.n_parameters / (n_features + 1)

    @cached_property
    def _share(self) -> int:
        """The rows that each of the rehearsal's ranks may have."""
        return max(1, (len(self.y) - self._held_out) // self._ranks)

    @cached_property
    def _epochs(self) -> int:
        """The epochs, as far as steps are left for them."""
        steps = -(-self._share // self._batch)
        return max(2, min(settled(self.spec.stop.max_epochs), round(self._steps / steps)))

    @cached_property
    def _rows(self) -> int:
        """The rows of all ranks: so many that the epochs have as many steps as there may be."""
        share = min(self._share, self._batch * max(1, self._steps // self._epochs))
        return share * self._ranks

    def _trained(self, rate: float) -> Floats:
        fields = self._fields_at(rate)
        local = LocalDescent(Descent.of(fields, self._epochs), self._batch, passes=1)
        share = self._rows // self._ranks
        starts = [self._held_out + rank * share for rank in range(self._ranks)]
        begin = extras_ahead(fields, self.model, self.start, lambda: (self.X, self.y))
        at = [local.begin(self.start, faded(begin)) for _ in starts]
        for epoch in range(1, self._epochs + 1):
            ends = [
                self._pass(local, at[rank], epoch, rank, start, share)
                for rank, start in enumerate(starts)
            ]
            state = self._merged(ends)
            if not np.isfinite(state.parameters).all():
                break
            at = [self._next(local, state) for _ in starts]
        return state.parameters

    def _pass(
        self, local: LocalDescent, at: RankProgress, epoch: int, rank: int, start: int, share: int
    ) -> RankProgress:
        rows = slice(start, start + share)
        rank_epoch = RankEpoch(epoch, rank, (share,) * self._ranks, self.spec.data.seed)
        gradient, penalty = local.loss_gradient(self.model, rank_epoch), self.model.penalty
        return local.run(at, self.X[rows], self.y[rows], rank_epoch, gradient, penalty)

    def _merged(self, ends: Sequence[RankProgress]) -> State:
        if not self.fields.averages_models:
            return State(ends[0].parameters, ends[0].extras)
        vectors = [unshrunk(end.parameters, Shrinkage.find(end.extras)) for end in ends]
        mean = np.stack(vectors).mean(axis=0, dtype=np.float64)
        return shrunk(mean.astype(np.float32), self.model.penalty)

    def _next(self, local: LocalDescent, state: State) -> RankProgress:
        if self.fields.averages_models:
            return local.begin(state.parameters, faded(state.extras))
        return RankProgress(state.parameters, extras=faded(state.extras))  # moments go on

    def _fields_at(self, rate: float) -> Fields:
        """Return the descent with ``rate``; the schedule is that of the job, in fewer epochs.

        From the minimum of a sample, the rate stays as it is: the job must not lead away from
        there, only to come back when the rate has fallen.
        """
        share = self._epochs / settled(self.spec.stop.max_epochs)
        return msgspec.structs.replace(
            self.fields,
            learning_rate=rate,
            decay=self.fields.decay / share,
            warmup_epochs=self.fields.warmup_epochs * share,
            schedule="constant" if self.fields.starts_at_sample else self.fields.schedule,
        )

    def _loss(self, w: Floats, rows: slice) -> float:
        """Return the mean loss of some of the rows that the ranks have, or of those held out."""
        return self.model.gradient(w, self.X[rows], self.y[rows], out=np.empty_like(w))


def _largest_eigenvalue(X: Matrix) -> float:
    """Return the largest eigenvalue of X'X/n, with a column of ones, by power iteration."""
    v = np.random.Generator(np.random.PCG64(0)).normal(size=X.shape[1] + 1).astype(np.float32)
    value = 0.0
    with np.errstate(all="ignore"):
        for _ in range(_POWER_STEPS):
            v /= _norm(v)
            z = product(X, v[:-1]) + v[-1]
            transposed_product(X, z, v[:-1])
            v[-1] = z.sum()
            value = _norm(v)
            if not 0 < value < np.inf:
                break
    return value / len(X)


def _norm(v: Floats) -> float:
    norm = float(np.linalg.norm(v))  # whose squares may exceed float32
    return norm if math.isfinite(norm) else float(np.linalg.norm(v.astype(np.float64)))

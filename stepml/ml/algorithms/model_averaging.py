"""Model averaging: SGD over the rank's shard, then a mean of all ranks' parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from stepml.job.algorithms import ModelAveraging as Spec
from stepml.job.spec import JobSpec
from stepml.job.spec_base import settled
from stepml.ml.algorithms.base import LabelledSample, OrchestratedAlgorithm, never
from stepml.ml.algorithms.descent import Descent
from stepml.ml.algorithms.local import LocalDescent
from stepml.ml.algorithms.peers import Shared
from stepml.ml.algorithms.shared_descent import SharedDescent
from stepml.ml.algorithms.shrinkage import (
    Shrinkage,
    bytes_per_parameter,
    extras_ahead,
    faded,
    shrunk,
    unshrunk,
)
from stepml.ml.algorithms.state import Extras, Outcome, RankEpoch, RankProgress, State, Sums
from stepml.ml.models.base import Array, Floats, LossModel, Matrix, Sample


@dataclass(frozen=True, slots=True)
class ModelAveraging(OrchestratedAlgorithm[LossModel]):
    """Each rank descends from the common parameters; models are averaged, weighted by rows.

    The optimiser's moments start at 0 in each epoch: they belong to the path of one rank, which
    averaging leaves. With a penalty l1, the mean is that of the parameters before shrinking.
    """

    spec: Spec
    max_epochs: int | None
    bytes_per_parameter: int = 40

    @classmethod
    def from_job(cls, job: JobSpec) -> ModelAveraging | AsynchronousModels:
        if job.exchange.pattern == "async":
            return AsynchronousModels.from_job(job)
        assert isinstance(job.algorithm, Spec)
        return cls(job.algorithm, job.stop.max_epochs, bytes_per_parameter(job.model))

    def initial_state(self, model: LossModel, parameters: Floats, sample: LabelledSample) -> State:
        return State(parameters, extras_ahead(self.spec, model, parameters, sample))

    def begin(
        self, model: LossModel, state: State, rank_state: Extras, rank_epoch: RankEpoch
    ) -> RankProgress:
        return self._local().begin(state.parameters, faded(state.extras), n_trained=model.n_trained)

    def train(
        self,
        model: LossModel,
        progress: RankProgress,
        X: Matrix,
        y: Array,
        rank_epoch: RankEpoch,
        must_pause: Callable[[], bool] = never,
    ) -> RankProgress:
        local = self._local()
        gradient = local.loss_gradient(model, rank_epoch)
        return local.run(progress, X, y, rank_epoch, gradient, model.penalty, must_pause)

    def rank_result(self, progress: RankProgress) -> Extras:
        return {"vector": _vector(progress), "loss": progress.loss}

    def contribution_shape(self, model: LossModel) -> tuple[int, int]:
        return model.n_parameters + bool(model.penalty.l1), 2

    def contribution(self, rank_state: Extras, rank_epoch: RankEpoch) -> tuple[Array, Sums]:
        return rank_state["vector"] * np.float32(rank_epoch.weight), rank_state["loss"]

    def next_state(
        self,
        model: LossModel,
        state: State,
        vector: Array,
        trailer: Sums,
        rank_epoch: RankEpoch,
        sample: Sample,
    ) -> Outcome:
        return Outcome(shrunk(vector, model.penalty), float(trailer[0] / trailer[1]))

    def _local(self) -> LocalDescent:
        descent = Descent.of(self.spec, self.max_epochs)
        return LocalDescent(descent, settled(self.spec.batch_size), self.spec.local_epochs)


@dataclass(frozen=True, slots=True)
class AsynchronousModels(SharedDescent):
    """After each pass over its shard, a rank adds the change of its model to the shared model.

    Changes are weighted by rows: ranks that pull and push at the same time produce the mean of
    their models, as in `ModelAveraging`. A rank makes `local_epochs` passes an epoch, with its own
    optimiser. A pass of very many batches is several updates, because no update can be
    interrupted.
    """

    spec: Spec
    max_epochs: int | None
    most_batches: int = 10_000  # in one update
    bytes_per_parameter: int = 40

    @classmethod
    def from_job(cls, job: JobSpec) -> AsynchronousModels:
        assert isinstance(job.algorithm, Spec)
        needed = bytes_per_parameter(job.model)
        return cls(job.algorithm, job.stop.max_epochs, bytes_per_parameter=needed)

    def n_updates(self, shard_rows: Sequence[int]) -> int:
        batches_a_pass = -(-max(shard_rows) // settled(self.spec.batch_size))
        return self.spec.local_epochs * -(-batches_a_pass // self.most_batches)

    def train(
        self,
        model: LossModel,
        X: Matrix,
        y: Array,
        rank_epoch: RankEpoch,
        shared: Shared[Any],
        must_pause: Callable[[], bool] = never,
    ) -> bool:
        local = self._local()
        n_updates, n_batches = self.n_updates(rank_epoch.shard_rows), local.n_batches(len(y))
        ends = [n_batches * number // n_updates for number in range(n_updates + 1)]
        state = shared.pull()
        extras = local.begin(state.vector, n_trained=model.n_trained).extras
        first = int(state.applied[rank_epoch.rank]) + 1
        for number in range(first, n_updates + 1):
            if number > first and must_pause():
                return False
            common = shrunk(state.vector, model.penalty)
            extras = {**extras, **common.extras}
            start = done = RankProgress(common.parameters, ends[number - 1], extras=extras)
            # With fewer batches than updates, some updates change nothing.
            if ends[number] > ends[number - 1]:
                gradient, until = local.loss_gradient(model, rank_epoch), ends[number]
                done = local.run(start, X, y, rank_epoch, gradient, model.penalty, until=until)
            extras = done.extras
            change = _vector(done) - _vector(start)
            change *= np.float32(rank_epoch.weight)
            totals = (done.loss_sum, done.rows_seen)
            state = shared.push(number, state, partial(_add, change=change), totals)
        return True

    def _local(self) -> LocalDescent:
        descent = Descent.of(self.spec, self.max_epochs)
        return LocalDescent(descent, settled(self.spec.batch_size), self.spec.local_epochs)


def _vector(progress: RankProgress) -> Floats:
    return unshrunk(progress.parameters, Shrinkage.find(progress.extras))


def _add(w: Array, change: Array) -> None:
    w += change

"""Model averaging: SGD over the rank's shard, then a mean of all ranks' parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stepml.job.spec import ModelAveraging as Spec
from stepml.ml.algorithms.base import (
    AsynchronousAlgorithm,
    Extras,
    OrchestratedAlgorithm,
    Outcome,
    Progress,
    Sample,
    Shared,
    State,
    Sums,
    Turn,
    never,
)
from stepml.ml.algorithms.descent import Descent
from stepml.ml.algorithms.local import LocalDescent, loss_gradient
from stepml.ml.models.base import Array, LossModel, Matrix


@dataclass(frozen=True, slots=True)
class ModelAveraging(OrchestratedAlgorithm[LossModel]):
    """Mini-batch descent from the common parameters; ranks are weighted by their rows.

    The optimiser's moments start afresh each epoch: they belong to the path of one rank, and a
    mean of models is on nobody's path.
    """

    spec: Spec
    max_epochs: int

    def begin(self, model: LossModel, state: State, own: Extras, turn: Turn) -> Progress:
        return self._local().begin(state.parameters)

    def train(
        self,
        model: LossModel,
        progress: Progress,
        X: Matrix,
        y: Array,
        turn: Turn,
        must_pause: Callable[[], bool] = never,
    ) -> Progress:
        gradient = loss_gradient(model)
        return self._local().run(progress, X, y, turn, gradient, model.penalty, must_pause)

    def ended(self, progress: Progress) -> Extras:
        return {"parameters": progress.parameters, "loss": progress.loss}

    def contribution(self, own: Extras, turn: Turn) -> tuple[Array, Sums]:
        return own["parameters"] * np.float32(turn.weight), own["loss"]

    def next_state(
        self,
        model: LossModel,
        state: State,
        vector: Array,
        trailer: Sums,
        turn: Turn,
        sample: Sample,
    ) -> Outcome:
        return Outcome(State(vector), float(trailer[0] / trailer[1]))

    def _local(self) -> LocalDescent:
        descent = Descent.of(self.spec, self.max_epochs)
        return LocalDescent(descent, self.spec.batch_size, self.spec.local_epochs)


@dataclass(frozen=True, slots=True)
class AsynchronousModels(AsynchronousAlgorithm[LossModel]):
    """After each pass over its shard a rank adds what the pass changed to the shared model.

    Changes are weighted by rows, so ranks that pull and push at the same time make the mean of
    their models, as in `ModelAveraging`. A rank makes `local_epochs` passes an epoch.
    """

    spec: Spec
    max_epochs: int

    def n_updates(self, shard_rows: Sequence[int]) -> int:
        return self.spec.local_epochs

    def train(
        self,
        model: LossModel,
        X: Matrix,
        y: Array,
        turn: Turn,
        shared: Shared[Any],
        must_pause: Callable[[], bool] = never,
    ) -> bool:
        state = shared.pull()
        first = int(state.applied[turn.rank]) + 1
        for number in range(first, self.spec.local_epochs + 1):
            if number > first and must_pause():
                return False
            change, told = self._pass(model, state.vector, X, y, turn, number)
            state = shared.push(number, state, change, told)
        return True

    def _pass(
        self, model: LossModel, start: Array, X: Matrix, y: Array, turn: Turn, number: int
    ) -> tuple[Callable[[Array], None], tuple[float, int]]:
        """Return what adds the change of one pass to a model, and the losses' sum and rows."""
        local = LocalDescent(Descent.of(self.spec, self.max_epochs), self.spec.batch_size, 1)
        # Each pass takes the batches in another order.
        of_pass = replace(turn, seed=turn.seed + number - 1)
        done = local.run(local.begin(start), X, y, of_pass, loss_gradient(model), model.penalty)
        change = (done.parameters - start) * np.float32(turn.weight)

        def add(w: Array) -> None:
            w += change

        return add, (done.loss_sum, done.rows_seen)

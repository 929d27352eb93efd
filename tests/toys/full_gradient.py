"""A toy algorithm: one step an epoch along the gradient of all rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np

from stepml.job.spec import JobSpec
from stepml.ml.algorithms.base import OrchestratedAlgorithm, never
from stepml.ml.algorithms.state import Extras, Outcome, RankEpoch, RankProgress, State, Sums
from stepml.ml.models.base import Array, LossModel, Matrix, Sample

STEP = np.float32(0.5)


@dataclass(frozen=True, slots=True)
class FullGradient(OrchestratedAlgorithm[LossModel]):
    """Ranks contribute the gradients of their shards, weighted by rows."""

    @classmethod
    def from_job(cls, job: JobSpec) -> Self:
        return cls()

    def begin(
        self, model: LossModel, state: State, rank_state: Extras, rank_epoch: RankEpoch
    ) -> RankProgress:
        return RankProgress(state.parameters, extras={"gradient": np.zeros_like(state.parameters)})

    def train(
        self,
        model: LossModel,
        progress: RankProgress,
        X: Matrix,
        y: Array,
        rank_epoch: RankEpoch,
        must_pause: Callable[[], bool] = never,
    ) -> RankProgress:
        gradient = np.empty_like(progress.parameters)
        loss = model.gradient(progress.parameters, X, y, out=gradient)
        extras = {"gradient": gradient}
        return RankProgress(progress.parameters, 1, loss * len(y), len(y), True, extras)

    def rank_result(self, progress: RankProgress) -> Extras:
        return {"gradient": progress.extras["gradient"], "loss": progress.loss}

    def contribution_shape(self, model: LossModel) -> tuple[int, int]:
        return model.n_parameters, 2

    def contribution(self, rank_state: Extras, rank_epoch: RankEpoch) -> tuple[Array, Sums]:
        return rank_state["gradient"] * np.float32(rank_epoch.weight), rank_state["loss"]

    def next_state(
        self,
        model: LossModel,
        state: State,
        vector: Array,
        trailer: Sums,
        rank_epoch: RankEpoch,
        sample: Sample,
    ) -> Outcome:
        return Outcome(State(state.parameters - STEP * vector), float(trailer[0] / trailer[1]))

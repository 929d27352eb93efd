"""Model averaging: SGD over the rank's shard, then a mean of all ranks' parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from stepml.job.spec import ModelAveraging as Spec
from stepml.ml.algorithms.base import OrchestratedAlgorithm, Progress, Sums, never
from stepml.ml.models.base import Floats, Model


@dataclass(frozen=True, slots=True)
class ModelAveraging(OrchestratedAlgorithm):
    """Mini-batch SGD from the common parameters; ranks are weighted by their rows.

    The shard was shuffled when the data were partitioned, so batches are consecutive rows (views,
    no copies); each pass takes them in an order of its own, drawn from seed, epoch and rank.
    """

    spec: Spec

    def train(
        self,
        model: Model,
        progress: Progress,
        X: Floats,
        y: Floats,
        seed: tuple[int, ...],
        must_pause: Callable[[], bool] = never,
    ) -> Progress:
        w, step = progress.parameters.copy(), np.empty_like(progress.parameters)
        learning_rate = np.float32(self.spec.learning_rate)
        loss_sum, rows_seen, done = progress.loss_sum, progress.rows_seen, progress.batches_done
        for number, rows in enumerate(self._batches(len(y), seed)):
            if number < progress.batches_done:
                continue
            if number > progress.batches_done and must_pause():
                return replace(
                    progress,
                    parameters=w,
                    batches_done=done,
                    loss_sum=loss_sum,
                    rows_seen=rows_seen,
                )
            batch = y[rows]
            loss_sum += model.gradient(w, X[rows], batch, out=step) * len(batch)
            step *= learning_rate
            w -= step
            rows_seen += len(batch)
            done = number + 1
        return Progress(w, done, loss_sum, rows_seen, finished=True)

    def contribution(self, progress: Progress, weight: float) -> tuple[Floats, Sums]:
        trailer = np.array([progress.loss_sum, progress.rows_seen], np.float64)
        return progress.parameters * np.float32(weight), trailer

    def next_state(self, vector: Floats, trailer: Sums) -> tuple[Floats, float]:
        return vector, float(trailer[0] / trailer[1])

    def _batches(self, n_samples: int, seed: tuple[int, ...]) -> Iterator[slice]:
        size = min(self.spec.batch_size, n_samples)
        starts = np.arange(0, n_samples, size)
        for local_epoch in range(self.spec.local_epochs):
            order = np.random.Generator(np.random.PCG64([*seed, local_epoch]))
            for start in order.permutation(starts):
                yield slice(int(start), int(start) + size)

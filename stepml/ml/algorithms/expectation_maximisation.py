"""Expectation maximisation for k-means: Lloyd's iteration over all ranks' rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stepml.ml.algorithms.base import (
    Extras,
    OrchestratedAlgorithm,
    Outcome,
    Progress,
    Sample,
    State,
    Sums,
    Turn,
    never,
)
from stepml.ml.models import KMeans
from stepml.ml.models.base import Array, Matrix

BLOCK_ROWS = 2**18  # between looks whether to pause


@dataclass(frozen=True, slots=True)
class ExpectationMaximisation(OrchestratedAlgorithm[KMeans]):
    """Ranks give sums and counts of the rows nearest to each centroid, in float64.

    So every row counts once, wherever it is; a mean of the ranks' centroids would not do that.
    """

    def begin(self, model: KMeans, state: State, own: Extras, turn: Turn) -> Progress:
        nothing = np.zeros(state.parameters.size + model.n_clusters, np.float64)
        return Progress(state.parameters, extras={"sums": nothing})

    def train(
        self,
        model: KMeans,
        progress: Progress,
        X: Matrix,
        y: Array,
        turn: Turn,
        must_pause: Callable[[], bool] = never,
    ) -> Progress:
        sums, inertia = progress.extras["sums"].copy(), progress.loss_sum
        n_blocks, done = -(-len(X) // BLOCK_ROWS), progress.batches_done
        while done < n_blocks:
            if done > progress.batches_done and must_pause():
                break
            rows = X[done * BLOCK_ROWS : (done + 1) * BLOCK_ROWS]
            found = model.accumulate(progress.parameters, rows)
            sums += np.concatenate([found.sums.ravel(), found.counts])
            inertia += found.inertia
            done += 1
        rows_seen = min(done * BLOCK_ROWS, len(X))
        extras = {"sums": sums}
        return Progress(progress.parameters, done, inertia, rows_seen, done == n_blocks, extras)

    def ended(self, progress: Progress) -> Extras:
        return {"sums": progress.extras["sums"], "loss": progress.loss}

    def contribution(self, own: Extras, turn: Turn) -> tuple[Array, Sums]:
        return own["sums"], own["loss"]

    def next_state(
        self,
        model: KMeans,
        state: State,
        vector: Array,
        trailer: Sums,
        turn: Turn,
        sample: Sample,
    ) -> Outcome:
        n_clusters = model.n_clusters
        sums, counts = vector[:-n_clusters].reshape(n_clusters, -1), vector[-n_clusters:]
        new = model.next_parameters(state.parameters, sums, counts)
        if not counts.all():
            new = model.reseed(new, counts, sample())
        rests = np.array_equal(new, state.parameters)
        return Outcome(
            State(new),
            float(trailer[0] / trailer[1]),
            "no centroid moved any more" if rests else None,
        )

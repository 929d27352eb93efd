"""Expectation maximisation for k-means: Lloyd's iteration over all ranks' rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np

from stepml.job.spec import JobSpec
from stepml.ml.algorithms.base import OrchestratedAlgorithm, never
from stepml.ml.algorithms.state import Extras, Outcome, RankEpoch, RankProgress, State, Sums
from stepml.ml.matrices import CsrMatrix
from stepml.ml.models import KMeans
from stepml.ml.models.base import Array, Matrix, Sample
from stepml.ml.models.row_weights import parts_of

_SPARSE_COST = 64  # time of a multiply-add with a stored value of a sparse row, relative to dense


@dataclass(frozen=True, slots=True)
class ExpectationMaximisation(OrchestratedAlgorithm[KMeans]):
    """Ranks contribute sums and counts, or weights, of the rows of each cluster, in float64.

    So every row counts once, on whatever rank it is. A mean of the ranks' centroids would weight
    rows differently.
    """

    bytes_per_parameter = 48  # sums in float64: of a block, of the shard, and as they travel

    block_operations: int = 10**10  # multiply-adds between two pauses: a second or two of work

    @classmethod
    def from_job(cls, job: JobSpec) -> Self:
        return cls()

    def contribution_bytes(self, n_parameters: int) -> int:
        return 8 * n_parameters

    def begin(
        self, model: KMeans, state: State, rank_state: Extras, rank_epoch: RankEpoch
    ) -> RankProgress:
        nothing = np.zeros(state.parameters.size + model.n_clusters, np.float64)
        return RankProgress(state.parameters, extras={"sums": nothing})

    def train(
        self,
        model: KMeans,
        progress: RankProgress,
        X: Matrix,
        y: Array,
        rank_epoch: RankEpoch,
        must_pause: Callable[[], bool] = never,
    ) -> RankProgress:
        sums, inertia = progress.extras["sums"].copy(), progress.loss_sum
        block_rows = self._block_rows(model, X)
        n_blocks, done = -(-len(X) // block_rows), progress.batches_done
        while done < n_blocks:
            if done > progress.batches_done and must_pause():
                break
            rows = slice(done * block_rows, (done + 1) * block_rows)
            weights = parts_of(y[rows])[1]
            found = model.accumulate(progress.parameters, X[rows], weights)
            sums[: -model.n_clusters] += found.sums.ravel()
            sums[-model.n_clusters :] += found.counts
            inertia += found.inertia
            done += 1
        rows_seen = min(done * block_rows, len(X))
        extras = {"sums": sums}
        return RankProgress(progress.parameters, done, inertia, rows_seen, done == n_blocks, extras)

    def rank_result(self, progress: RankProgress) -> Extras:
        return {"sums": progress.extras["sums"], "loss": progress.loss}

    def contribution_shape(self, model: KMeans) -> tuple[int, int]:
        return model.n_parameters + model.n_clusters, 2

    def contribution(self, rank_state: Extras, rank_epoch: RankEpoch) -> tuple[Array, Sums]:
        return rank_state["sums"], rank_state["loss"]

    def next_state(
        self,
        model: KMeans,
        state: State,
        vector: Array,
        trailer: Sums,
        rank_epoch: RankEpoch,
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
            lacks="centroids still move",
            empty_clusters=int(n_clusters - np.count_nonzero(counts)),
        )

    def _block_rows(self, model: KMeans, X: Matrix) -> int:
        """Return the rows of a block; it depends on model and shard alone."""
        width = _SPARSE_COST * X.nnz / len(X) if isinstance(X, CsrMatrix) else X.shape[1]
        return max(1, int(self.block_operations / (model.n_clusters * max(1.0, width))))

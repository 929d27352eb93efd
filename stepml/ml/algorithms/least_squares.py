"""Least squares in one epoch: the normal equations of all ranks' rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import isqrt
from typing import ClassVar, Self

import numpy as np

from stepml.job.spec import JobSpec
from stepml.ml.algorithms.base import LabelledSample, OrchestratedAlgorithm, never
from stepml.ml.algorithms.state import Extras, Outcome, RankEpoch, RankProgress, State, Sums
from stepml.ml.lasso import lasso, solution
from stepml.ml.matrices import Floats64, wide_rows
from stepml.ml.models.base import Array, Floats, LossModel, Matrix, Penalty, Sample
from stepml.ml.models.row_weights import parts_of, targets_of

_SOLVED = "the normal equations are solved"
_AT_MINIMUM = "the objective of all rows is at its minimum"
_NEAR_MINIMUM = "the search among so many features has ended near the minimum"


@dataclass(frozen=True, slots=True)
class LeastSquares(OrchestratedAlgorithm[LossModel]):
    """Ranks contribute the sums of products of all pairs of columns, in float64.

    The columns are the features, the labels, and a column of ones. They are taken relative to an
    origin among the values, so features far from 0 lose no digits.
    """

    bytes_per_product: ClassVar[int] = 64  # sums, their copies, eigenvectors

    block_values: int = 2**20  # widened at once
    block_operations: int = 10**10  # multiply-adds between two pauses: a second or two of work

    @classmethod
    def from_job(cls, job: JobSpec) -> Self:
        return cls()

    def contribution_bytes(self, n_parameters: int) -> int:
        return 8 * _n_products(n_parameters + 1)

    def most_parameters(self, most_bytes: int) -> int:
        return max(0, isqrt(most_bytes // self.bytes_per_product) - 1)

    def initial_state(self, model: LossModel, parameters: Floats, sample: LabelledSample) -> State:
        X, y = sample()
        y = targets_of(y)
        origins = _origin(self._columns(X, y, np.zeros(model.n_features + 1)))
        return State(parameters, {"origin": origins})

    def begin(
        self, model: LossModel, state: State, rank_state: Extras, rank_epoch: RankEpoch
    ) -> RankProgress:
        nothing = np.zeros(_n_products(model.n_features + 2))
        extras = {"sums": nothing, "origin": state.extras["origin"]}
        return RankProgress(state.parameters, extras=extras)

    def train(
        self,
        model: LossModel,
        progress: RankProgress,
        X: Matrix,
        y: Array,
        rank_epoch: RankEpoch,
        must_pause: Callable[[], bool] = never,
    ) -> RankProgress:
        origin, n_columns = progress.extras["origin"], model.n_features + 2
        sums = _square(progress.extras["sums"], n_columns)
        block_rows = max(1, self.block_operations // n_columns**2)
        n_blocks, done = -(-len(y) // block_rows), progress.batches_done
        while done < n_blocks:
            if done > progress.batches_done and must_pause():
                break
            rows = slice(done * block_rows, (done + 1) * block_rows)
            targets, weights = parts_of(y[rows])
            for first, columns in self._columns(X[rows], targets, origin):
                if weights is not None:
                    own = weights[first : first + len(columns)]
                    np.multiply(columns, np.sqrt(own, dtype=np.float64)[:, None], out=columns)
                sums += columns.T @ columns
            done += 1
        extras = {"sums": _triangle(sums), "origin": origin}
        return RankProgress(progress.parameters, done, 0.0, len(y), done == n_blocks, extras)

    def rank_result(self, progress: RankProgress) -> Extras:
        sums = progress.extras["sums"]
        return {"sums": sums, "rows": sums[-1:]}  # of the column of ones: the rows, or their weight

    def contribution_shape(self, model: LossModel) -> tuple[int, int]:
        return _n_products(model.n_features + 2), 1

    def contribution(self, rank_state: Extras, rank_epoch: RankEpoch) -> tuple[Array, Sums]:
        return rank_state["sums"], rank_state["rows"]

    def next_state(
        self,
        model: LossModel,
        state: State,
        vector: Array,
        trailer: Sums,
        rank_epoch: RankEpoch,
        sample: Sample,
    ) -> Outcome:
        origin = state.extras["origin"]
        means = _square(vector, len(origin) + 1) / trailer[0]
        offsets = means[-1, :-1].copy()
        covariance = means[:-1, :-1] - np.outer(offsets, offsets)
        coefficients, is_exact = _solution(covariance[:-1, :-1], covariance[:-1, -1], model.penalty)
        stored = coefficients.astype(np.float32)  # the intercept makes up for its rounding
        centre = origin + offsets
        intercept = centre[-1] - stored.astype(np.float64) @ centre[:-1]
        w = np.append(stored, np.float32(intercept))  # in the unit of the targets
        residual = np.append(-coefficients, 1)
        loss = max(0.0, float(residual @ covariance @ residual) / 2)
        reason = _AT_MINIMUM if model.penalty.l1 else _SOLVED
        lacks = "" if is_exact else _NEAR_MINIMUM
        return Outcome(State(w, state.extras), loss, reason if is_exact else None, lacks=lacks)

    def _columns(self, X: Matrix, y: Array, origin: Floats64) -> Iterator[tuple[int, Floats64]]:
        """Yield blocks of the features and labels relative to ``origin``, and of ones.

        Before each is the number of its first row.
        """
        n_features = len(origin) - 1
        step = max(1, self.block_values // (n_features + 2))
        for first in range(0, len(y), step):
            rows = slice(first, first + step)
            labels = y[rows]
            columns = np.ones((len(labels), n_features + 2))
            wide_rows(X[rows], columns[:, :n_features])
            columns[:, n_features] = labels
            columns[:, :-1] -= origin
            yield first, columns


def _origin(blocks: Iterator[tuple[int, Floats64]]) -> Floats64:
    """Return the means of all columns but the last; of a constant column, its very value."""
    total, low, high = 0.0, np.inf, -np.inf
    for _, columns in blocks:
        total = total + columns.sum(axis=0)
        low = np.minimum(low, columns.min(axis=0))
        high = np.maximum(high, columns.max(axis=0))
    means: Floats64 = np.where(low == high, low, total / np.asarray(total)[-1])[:-1]
    return means


def _solution(
    covariance: Floats64, with_labels: Floats64, penalty: Penalty
) -> tuple[Floats64, bool]:
    """Return the coefficients that minimise the mean squared error/2 + l1·‖c‖₁ + l2/2·‖c‖².

    The second value is whether they do, which takes too long with very many features and l1.

    Of several solutions without l1, that with the smallest coefficients of standardised features.
    """
    matrix = covariance.copy()
    matrix.flat[:: len(matrix) + 1] += penalty.l2
    scale = np.sqrt(np.maximum(np.diag(matrix), 0))
    scale[scale == 0] = 1
    matrix, right = matrix / scale / scale[:, None], with_labels / scale
    if penalty.l1:
        found, is_exact = lasso(matrix, right, penalty.l1 / scale)
    else:
        found, is_exact = solution(matrix, right), True
    coefficients: Floats64 = found / scale
    return coefficients, is_exact


def _n_products(n_columns: int) -> int:
    """Return the number of pairs of columns, with themselves as well."""
    return n_columns * (n_columns + 1) // 2


def _triangle(square: Floats64) -> Floats64:
    """Return the upper triangle of a symmetric matrix, row by row."""
    return np.concatenate([row[number:] for number, row in enumerate(square)])


def _square(triangle: Floats64, size: int) -> Floats64:
    """Return the symmetric matrix of an upper `_triangle`."""
    square = np.empty((size, size))
    ends = np.cumsum([0, *range(size, 0, -1)]).tolist()
    for number, (start, stop) in enumerate(pairwise(ends)):
        square[number, number:] = square[number:, number] = triangle[start:stop]
    return square

"""Initial centroids: the best of several k-means++ seedings on a sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from stepml.ml.matrices import CsrMatrix, chosen_rows
from stepml.ml.models.base import Floats, Matrix
from stepml.ml.models.centroids import Accumulated, next_centroids
from stepml.ml.models.clusters import accumulate
from stepml.ml.models.distances import Points, dense_row
from stepml.ml.models.weighted_clusters import accumulate_weighted

_ITERATIONS = 10  # on the sample, of each seeding
_BUDGET = 2e11  # multiply-adds: about 15 s on a core of a server
_PER_DISTANCE = 24  # time of a distance without its products, in multiply-adds
_PER_PAIR = 24  # time of a product with a stored number of a sparse row


@dataclass(frozen=True, slots=True)
class Plan:
    """Numbers of seedings and iterations."""

    restarts: int  # seedings to choose from
    iterations: int  # on the sample, of each of them

    @classmethod
    def within(cls, budget: float, X: Matrix, n_clusters: int, restarts: int) -> Self:
        """Return the part of ``restarts`` and ten iterations that ``budget`` multiply-adds allow.

        Restarts are reduced first, because chance has less effect on many clusters. Iterations are
        reduced next, because training continues them. At least one of each remains.
        """
        numbers = _PER_PAIR * X.nnz if isinstance(X, CsrMatrix) else X.size
        iteration = float(n_clusters * (numbers + _PER_DISTANCE * len(X)))
        seeding = (_trials(n_clusters) + 1) * iteration  # and once more for the inertia
        affordable = min(restarts, budget / (seeding + _ITERATIONS * iteration))
        if affordable >= 1:
            return cls(int(affordable), _ITERATIONS)
        return cls(1, max(1, int((budget - seeding) // iteration)))


def initial_centroids(
    X: Matrix,
    n_clusters: int,
    restarts: int,
    seed: int,
    *,
    budget: float = _BUDGET,
    weights: Floats | None = None,
) -> Floats:
    """Return initial parameters: the best of several k-means++ seedings on a sample.

    Each seeding is improved by a few iterations on the sample before the comparison.

    Parameters
    ----------
    X : matrix of shape (n_samples, n_features), at least one row
        The sample; with fewer different rows than clusters, some centroids are equal.
    n_clusters : int
    restarts : int
        Seedings to choose from, at least 1.
    seed : int
        The same seed gives the same bits.
    budget : float
        Approximate limit of multiply-adds: large samples and many clusters get fewer restarts and
        iterations, but at least one of each.
    weights : array of shape (n_samples,), optional
        Of the rows: those of weight 0 are left out, unless all are.

    Returns
    -------
    array of shape (n_clusters * n_features,)
    """
    if weights is not None and weights.any():
        present = np.flatnonzero(weights)
        X, weights = chosen_rows(X, present), weights[present]
    plan = Plan.within(budget, X, n_clusters, restarts)
    generators = (np.random.default_rng((seed, each)) for each in range(plan.restarts))
    seedings = (_seeding(X, weights, n_clusters, plan.iterations, rng) for rng in generators)
    return min(seedings, key=lambda seeding: seeding[1])[0].ravel()


def _seeding(
    X: Matrix, weights: Floats | None, n_clusters: int, iterations: int, rng: np.random.Generator
) -> tuple[Floats, float]:
    """Return centroids and their inertia."""
    centroids = _plus_plus(X, weights, n_clusters, rng)
    for _ in range(iterations):
        found = _accumulated(centroids, X, weights)
        centroids = next_centroids(centroids, found.sums, found.counts)
    return centroids, _accumulated(centroids, X, weights).inertia


def _accumulated(centroids: Floats, X: Matrix, weights: Floats | None) -> Accumulated:
    if weights is None:
        return accumulate(centroids, X)
    return accumulate_weighted(centroids, X, weights)


def _plus_plus(
    X: Matrix, weights: Floats | None, n_clusters: int, rng: np.random.Generator
) -> Floats:
    """Return centroids by greedy k-means++ (Arthur and Vassilvitskii, 2007).

    Each centroid is the best of a few rows. Rows are drawn with probabilities proportional to the
    squared distance from their nearest centroid so far, times their weight.
    """
    trials = _trials(n_clusters)
    candidates = _Candidates(X, weights, trials, rng)
    chosen, nearest = candidates.first()
    rows, best, other = [chosen], np.empty_like(nearest), np.empty_like(nearest)
    while len(rows) < n_clusters:
        least = np.inf
        for trial in range(trials):
            row, distances = candidates.draw(nearest, ahead=1 + len(rows) // 4)
            np.minimum(distances, nearest, out=other)
            inertia = float(other.sum() if weights is None else (other * weights).sum())
            if not trial or inertia < least:
                least, chosen, best, other = inertia, row, other, best
        rows.append(chosen)
        np.maximum(best, 0, out=nearest)
    return np.stack([dense_row(X, row) for row in rows])


class _Candidates:
    """Rows of a sample, drawn by their squared distance from the nearest centroid.

    The distances of many rows take little longer than those of a few, so rows are drawn in
    advance. A row that was drawn before the last centroids were chosen is accepted with the ratio
    of its probabilities, now and then: the result is as if rows were drawn one by one.
    """

    def __init__(
        self, X: Matrix, weights: Floats | None, trials: int, rng: np.random.Generator
    ) -> None:
        self._X, self._points, self._weights = X, Points.of(X), weights
        self._trials, self._rng = trials, rng
        self._left: list[tuple[int, np.float32, Floats]] = []
        self._buffer = np.empty((0, len(X)), np.float32)

    def first(self) -> tuple[int, Floats]:
        """Return a random row, and the squared distances of all rows from it."""
        if self._weights is None:
            row = int(self._rng.integers(len(self._X)))
        else:
            row = int(_drawn(self._weights, 1, self._rng)[0])
        return row, np.maximum(self._points.distances(dense_row(self._X, row)[None])[0], 0)

    def draw(self, nearest: Floats, ahead: int) -> tuple[int, Floats]:
        """Return a row, and the squared distances of all rows from it (0 may be slightly negative).

        Parameters
        ----------
        nearest : array of shape (n_samples,)
            Squared distances from the nearest centroid.
        ahead : int
            Centroids whose trials may be drawn together.
        """
        while True:
            if not self._left:
                chances = nearest if self._weights is None else nearest * self._weights
                rows = _drawn(chances, self._trials * self._most(ahead), self._rng)
                self._measure(rows, nearest)
            row, then, distances = self._left.pop()
            if not self._rng.random() * then > nearest[row]:  # also true if one is NaN
                return row, distances

    def _most(self, ahead: int) -> int:
        if isinstance(self._X, CsrMatrix):  # many products at once save no time
            return 1
        return max(1, min(ahead, self._points.most // self._trials))

    def _measure(self, rows: npt.NDArray[np.intp], nearest: Floats) -> None:
        if len(self._buffer) < len(rows):
            self._buffer = np.empty((len(rows), len(self._X)), np.float32)
        points = np.stack([dense_row(self._X, row) for row in rows])
        distances = self._points.distances(points, out=self._buffer[: len(rows)])
        self._left = [*zip(rows.tolist(), nearest[rows], distances, strict=True)]


def _trials(n_clusters: int) -> int:
    return 2 + int(np.log(n_clusters))


def _drawn(nearest: Floats, n_rows: int, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """Return rows drawn by ``nearest``, or uniformly if all rows are centroids."""
    edges = np.cumsum(nearest, dtype=np.float64)
    if not edges[-1] > 0:
        return rng.integers(len(nearest), size=n_rows)
    drawn: npt.NDArray[np.intp] = np.searchsorted(
        edges, rng.random(n_rows) * edges[-1], side="right"
    )
    return drawn.clip(max=len(nearest) - 1)

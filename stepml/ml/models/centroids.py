"""Assigns rows to their nearest centroids, and sums them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from stepml.ml.matrices import CsrMatrix, product, row_sums_by_group
from stepml.ml.models.base import Array, Floats, Matrix
from stepml.ml.models.distances import origin_of, products, squared_distances

Sums = npt.NDArray[np.float64]
Clusters = npt.NDArray[np.intp]

# Limits of a block, which has to fit into the cache: distances, and numbers of dense rows.
_DISTANCES, _SPARSE_DISTANCES, _NUMBERS = 2**16, 2**21, 2**17
_FEW = 128  # clusters; with more, NumPy is fast along their axis
_CANCELLED = 0.01  # share of |x|²: squared distances below it have lost two digits


@dataclass(frozen=True, slots=True, eq=False)
class Accumulated:
    """Sums over the rows of each cluster."""

    sums: Sums  # (n_clusters, n_features)
    counts: Sums  # (n_clusters,) rows
    inertia: float  # sum over all rows of the squared distance from the nearest centroid


def accumulate(centroids: Floats, X: Matrix) -> Accumulated:
    """Assign each row to its nearest centroid, the first of equally near ones; sum each cluster.

    Parameters
    ----------
    centroids : array of shape (n_clusters, n_features)
    X : matrix of shape (n_samples, n_features)
    """
    search = Search.of(centroids, dense=not isinstance(X, CsrMatrix))
    if len(centroids) <= _FEW and not isinstance(X, CsrMatrix):
        return search.accumulate_few(X)
    return search.accumulate_many(X)


def next_centroids(centroids: Floats, sums: Sums, counts: Sums) -> Floats:
    """Return the means of the clusters; a cluster without rows keeps its centroid.

    Parameters
    ----------
    centroids, sums : array of shape (n_clusters, n_features)
    counts : array of shape (n_clusters,)
    """
    means = centroids.copy()
    live = counts > 0
    means[live] = sums[live] / counts[live, None]
    return means


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """Centroids, prepared for distances from rows.

    Distances are |c|² - 2·c·x, without |x|². If centroids are close together and far from 0, this
    would leave few digits, so ``origin`` is first subtracted from dense rows. Sparse rows would
    become dense. For them, with m = c - o, distances are |m|² + 2·m·o - 2·m·x, without |x - o|².
    """

    centroids: Floats  # (n_clusters, n_features), minus the origin if rows are dense
    origin: Floats | None  # (n_features,)
    doubled: Floats  # -2 · (centroids - origin)
    norms: Floats  # (n_clusters, 1), squared; for sparse rows + 2·m·o

    @classmethod
    def of(cls, centroids: Floats, *, dense: bool) -> Self:
        origin = origin_of(centroids)
        moved = centroids if origin is None else centroids - origin
        norms: Floats = np.square(moved).sum(axis=1, keepdims=True)
        if origin is None or dense:
            return cls(moved, origin, -2 * moved, norms)
        norms += 2 * np.einsum("ij,j->i", moved, origin, dtype=np.float64)[:, None]
        return cls(centroids, origin, -2 * moved, norms)

    def accumulate_few(self, X: Floats) -> Accumulated:
        """Sum dense rows by the nearest of a few centroids.

        The sums are a product with a matrix of zeros and ones. It is computed without `argmin`,
        because NumPy is slow along short axes.
        """
        few, inertia = len(self.norms), 0.0
        # BLAS computes four rows together: ten take longer than twelve.
        belongs = np.zeros((-(-few // 4) * 4, self._step(X)), np.float32)
        sums, counts = np.zeros((len(belongs), X.shape[1])), np.zeros(len(belongs))
        for rows in self._blocks(X):
            block = X[rows] if self.origin is None else X[rows] - self.origin
            distances = self._distances(block)
            least = np.minimum.reduce(distances, axis=0)
            nearest = distances == least
            if np.count_nonzero(nearest) != len(block):  # some centroids are equally near
                nearest = distances.argmin(axis=0) == np.arange(few)[:, None]
            ones = belongs[:, : len(block)]
            ones[:few] = nearest
            sums += ones @ block
            counts += ones @ np.ones(len(block), np.float32)  # a sum, but faster
            inertia += self._inertia(block, least, nearest)
        if self.origin is not None:
            sums += counts[:, None] * self.origin
        return Accumulated(sums[:few], counts[:few], inertia)

    def accumulate_many(self, X: Matrix) -> Accumulated:
        """Sum rows by the nearest of many centroids."""
        clusters, inertia = np.empty(len(X), np.intp), 0.0
        for rows in self._blocks(X):
            block = self._moved(X[rows])
            distances = self._distances(block)
            found = clusters[rows] = distances.argmin(axis=0)
            least = distances[found, np.arange(len(found))]
            inertia += self._inertia(block, least, found)
        counts = np.bincount(clusters, minlength=len(self.norms)).astype(np.float64)
        return Accumulated(row_sums_by_group(X, clusters, len(counts)), counts, inertia)

    def clusters(self, X: Matrix) -> Clusters:
        """Return the index of each row's nearest centroid."""
        clusters = np.empty(len(X), np.intp)
        for rows in self._blocks(X):
            clusters[rows] = self._distances(self._moved(X[rows])).argmin(axis=0)
        return clusters

    def _step(self, X: Matrix) -> int:
        """Return the rows of a block, whose numbers and distances fit into the cache."""
        if isinstance(X, CsrMatrix):
            return max(64, _SPARSE_DISTANCES // len(self.norms))
        n_clusters, n_features = self.centroids.shape
        most: int = min(_DISTANCES // n_clusters, _NUMBERS // n_features, 4096)
        return max(64, most)

    def _blocks(self, X: Matrix) -> Iterator[slice]:
        step = self._step(X)
        return (slice(start, start + step) for start in range(0, len(X), step))

    def _moved(self, X: Matrix) -> Matrix:
        return X if self.origin is None or isinstance(X, CsrMatrix) else X - self.origin

    def _distances(self, X: Matrix) -> Floats:
        """Return distances, (n_clusters, n_samples), along the long axis."""
        few = len(self.norms) <= _FEW and not isinstance(X, CsrMatrix)
        distances = products(self.doubled, X) if few else product(X, self.doubled.T).T
        distances += self.norms
        return distances

    def _inertia(self, X: Matrix, least: Floats, nearest: Array) -> float:
        """Return the sum of squared distances, given the ``least`` ones without |x|².

        If much of the sum cancels, or another term is missing for sparse rows, it is computed
        from the differences. ``nearest`` are the rows' clusters, or bits (n_clusters, n_samples).
        """
        if not isinstance(X, CsrMatrix) or self.origin is None:
            squares = _square_sum(X)
            inertia = squares + float(np.add.reduce(least, dtype=np.float64))
            if inertia > _CANCELLED * squares:
                return inertia
        clusters = nearest if nearest.ndim == 1 else nearest.argmax(axis=0)
        if isinstance(X, CsrMatrix):
            return float(squared_distances(X, self.centroids, clusters).sum())
        return _square_sum(X - self.centroids[clusters])


def _square_sum(X: Matrix) -> float:
    values = X.values[X.pairs] if isinstance(X, CsrMatrix) else X.ravel()
    return float(np.dot(values, values))

"""K-means: clusters by nearest centroid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from stepml.ml.matrices import CsrMatrix, product, row_sums_by_group
from stepml.ml.models.base import Array, Evaluation, Floats, Matrix, Model
from stepml.ml.models.distances import (
    Points,
    dense_row,
    origin_of,
    products,
    squared_distances,
)

Sums = npt.NDArray[np.float64]
Clusters = npt.NDArray[np.intp]

# What is computed at once, so that it stays in the cache: distances, and numbers of dense rows.
_DISTANCES, _SPARSE_DISTANCES, _NUMBERS = 2**16, 2**21, 2**17
_FEW = 128  # clusters; with more of them, NumPy is fast along their axis
_CANCELLED = 0.01  # share of |x|²: squared distances below it have lost two digits


@dataclass(frozen=True, slots=True, eq=False)
class Accumulated:
    """What the rows of a cluster sum up to, by cluster."""

    sums: Sums  # (n_clusters, n_features)
    counts: Sums  # (n_clusters,) rows
    inertia: float  # sum over all rows of the squared distance from the nearest centroid


class KMeans(Model):
    """Makes the sum of squared distances from the nearest centroid small (Lloyd, 1982).

    Its parameters are the centroids, (n_clusters, n_features) row by row; labels play no part.

    Parameters
    ----------
    n_features, n_clusters : int
    """

    def __init__(self, n_features: int, n_clusters: int) -> None:
        self.n_features = n_features
        self.n_clusters = n_clusters

    @property
    def n_parameters(self) -> int:
        return self.n_clusters * self.n_features

    def targets(self, labels: Floats) -> Floats:
        return labels

    def accumulate(self, w: Floats, X: Matrix) -> Accumulated:
        """Assign each row to its nearest centroid, the first of equally near ones.

        Parameters
        ----------
        w : array of shape (n_parameters,)
        X : matrix of shape (n_samples, n_features)
        """
        search = self._search(w, X)
        if self.n_clusters <= _FEW and not isinstance(X, CsrMatrix):
            return search.accumulate_few(X)
        return search.accumulate_many(X)

    def next_parameters(self, w: Floats, sums: Sums, counts: Sums) -> Floats:
        """Return the means of the clusters; a cluster without rows keeps its centroid.

        Parameters
        ----------
        w : array of shape (n_parameters,)
        sums : array of shape (n_clusters, n_features), of all rows
        counts : array of shape (n_clusters,), of all rows
        """
        centroids = self._centroids(w).copy()
        live = counts > 0
        centroids[live] = sums[live] / counts[live, None]
        return centroids.ravel()

    def reseed(self, w: Floats, counts: Sums, sample: Matrix) -> Floats:
        """Return the parameters with the centroids of empty clusters moved to where rows are.

        One after another moves to the row of ``sample`` that is farthest from its nearest centroid;
        if all rows lie on centroids it stays.

        Parameters
        ----------
        w : array of shape (n_parameters,)
        counts : array of shape (n_clusters,)
        sample : matrix of shape (n_samples, n_features)
        """
        centroids, rows = self._centroids(w).copy(), Points.of(sample)
        nearest = rows.nearest(centroids[counts > 0])
        for cluster in np.flatnonzero(counts == 0):
            farthest = int(nearest.argmax())
            if not nearest[farthest] > 0:
                break
            centroids[cluster] = dense_row(sample, farthest)
            np.minimum(nearest, rows.distances(centroids[cluster][None])[0], out=nearest)
        return centroids.ravel()

    def evaluate(self, w: Floats, X: Matrix, y: Array) -> Evaluation:
        inertia = self.accumulate(w, X).inertia
        return Evaluation(inertia / len(X), {"inertia": inertia})

    def predict(self, w: Floats, X: Matrix) -> Array:
        return self._search(w, X).clusters(X)

    def arrays(self, w: Floats) -> dict[str, Array]:
        return {"centroids": self._centroids(w)}

    def parameters(self, arrays: Mapping[str, Array]) -> Floats:
        return arrays["centroids"].astype(np.float32).ravel()

    def describe(self) -> dict[str, Any]:
        return {"n_clusters": self.n_clusters}

    def _centroids(self, w: Floats) -> Floats:
        return w.reshape(self.n_clusters, self.n_features)

    def _search(self, w: Floats, X: Matrix) -> _Search:
        return _Search.of(self._centroids(w), dense=not isinstance(X, CsrMatrix))


@dataclass(frozen=True, slots=True, eq=False)
class _Search:
    """Centroids, made ready to find the nearest ones.

    Distances are |c|² - 2·c·x, which lacks |x|². Where centroids lie close together and far from 0
    that would leave few digits, so dense rows are first moved by ``origin``. Sparse ones would
    become dense, and stay: with m = c - o, distances are |m|² + 2·m·o - 2·m·x, lacking |x - o|².
    """

    centroids: Floats  # (n_clusters, n_features), less the origin if rows are moved
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
        """Return what dense rows sum up to, by the nearest of a few centroids.

        The rows are summed by a product with a matrix of zeros and ones, made without looking for
        the places of the ones: NumPy is slow along short axes.
        """
        few, inertia = len(self.norms), 0.0
        # The BLAS takes rows by four: ten take longer than twelve.
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
        """Return what rows sum up to, by the nearest of many centroids."""
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
        """Return the number of each row's nearest centroid."""
        clusters = np.empty(len(X), np.intp)
        for rows in self._blocks(X):
            clusters[rows] = self._distances(self._moved(X[rows])).argmin(axis=0)
        return clusters

    def _step(self, X: Matrix) -> int:
        """Return of how many rows the numbers and the distances stay in the cache."""
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
        """Return the sum of the squared distances, of which ``least`` lack |x|².

        Where much of the sum cancels, or sparse rows lack another term, it is computed afresh.
        ``nearest`` are the rows' clusters, or a matrix of bits (n_clusters, n_samples).
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

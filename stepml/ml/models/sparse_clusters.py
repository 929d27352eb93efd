"""Assigns sparse rows to their nearest centroids, and sums them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from stepml.ml.group_sums import row_sums_by_group
from stepml.ml.matrices import CsrMatrix, Floats, product
from stepml.ml.models.centroids import Accumulated
from stepml.ml.models.distances import origin_of, squared_distances

_DISTANCES = 2**21  # of a block, which has to fit into the cache
_CANCELLED = 0.01  # share of |x|²: squared distances below it have lost two digits


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """Centroids, prepared for distances from sparse rows.

    Distances are |c|² - 2·c·x, without |x|². If centroids are close together and far from 0, this
    would leave few digits. Then, with an origin o and m = c - o, distances are
    |m|² + 2·m·o - 2·m·x, without |x - o|².
    """

    centroids: Floats  # (n_clusters, n_features)
    is_moved: bool  # whether there is an origin
    doubled: Floats  # -2 · (centroids - origin)
    norms: Floats  # (n_clusters, 1), squared, + 2·m·o

    @classmethod
    def of(cls, centroids: Floats) -> Self:
        origin = origin_of(centroids)
        moved = centroids if origin is None else centroids - origin
        norms: Floats = np.square(moved).sum(axis=1, keepdims=True)
        if origin is not None:
            norms += 2 * np.einsum("ij,j->i", moved, origin, dtype=np.float64)[:, None]
        return cls(centroids, origin is not None, -2 * moved, norms)

    def accumulate(self, X: CsrMatrix) -> Accumulated:
        """Sum rows by their nearest centroid."""
        clusters, inertia = np.empty(len(X), np.intp), 0.0
        for rows in self._blocks(X):
            distances = self._distances(X[rows])
            found = clusters[rows] = distances.argmin(axis=0)
            least = distances[found, np.arange(len(found))]
            inertia += self._inertia(X[rows], least, found)
        counts = np.bincount(clusters, minlength=len(self.norms)).astype(np.float64)
        return Accumulated(row_sums_by_group(X, clusters, len(counts)), counts, inertia)

    def clusters(self, X: CsrMatrix) -> npt.NDArray[np.intp]:
        """Return the index of each row's nearest centroid."""
        clusters = np.empty(len(X), np.intp)
        for rows in self._blocks(X):
            clusters[rows] = self._distances(X[rows]).argmin(axis=0)
        return clusters

    def _blocks(self, X: CsrMatrix) -> Iterator[slice]:
        step = max(64, _DISTANCES // len(self.norms))
        return (slice(start, start + step) for start in range(0, len(X), step))

    def _distances(self, X: CsrMatrix) -> Floats:
        """Return distances, (n_clusters, n_samples), along the long axis."""
        distances = product(X, self.doubled.T).T
        distances += self.norms
        return distances

    def _inertia(self, X: CsrMatrix, least: Floats, clusters: npt.NDArray[np.intp]) -> float:
        """Return the sum of squared distances, given the ``least`` ones without |x|².

        If much of the sum cancels, or there is an origin, it is computed from the differences.
        """
        if not self.is_moved:
            values = X.values[X.pairs]
            squares = float(np.dot(values, values))
            inertia = squares + float(np.add.reduce(least, dtype=np.float64))
            if inertia > _CANCELLED * squares:
                return inertia
        return float(squared_distances(X, self.centroids, clusters).sum())

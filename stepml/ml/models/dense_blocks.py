"""K-means over a block of dense rows in NumPy; see `dense_clusters` for the arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from stepml.ml.matrices import Floats, Floats64
from stepml.ml.models.distances import origin_of

Clusters = npt.NDArray[np.int32]
Counts = npt.NDArray[np.int64]

_FOLDS = 16  # rows of a block whose squares are added to a lane
_NUMBERS, _ROWS = 2**17, 2**13  # at most in a block: exact sums are less than 2**53 units
_SCORES = 2**17  # at most at a time
_PAIRS = 2**18  # numbers of rows near several centroids, at a time
_LARGE = 1e37  # products from here on may overflow
_FEW = 32  # clusters; with more, sorting rows takes less time than multiplying them


def rows_of_block(n_samples: int, n_features: int) -> int:
    """Return the rows of a block, a multiple of 16; results depend on it."""
    most = min(_ROWS, _NUMBERS // n_features, n_samples + _FOLDS - 1)
    return max(_FOLDS, most // _FOLDS * _FOLDS)


@dataclass(frozen=True, slots=True, eq=False)
class PreparedCentroids:
    """Centroids, prepared for comparison.

    If they are close together and far from 0, ``origin`` is subtracted from them and the rows.
    The nearest one has the highest score, c·x - |c|²/2.
    """

    points: Floats  # (n_clusters, n_features), minus the origin
    origin: Floats | None  # (n_features,)
    halves: Floats64  # (n_clusters,) of the squared norms
    reach: float  # the largest norm

    @classmethod
    def of(cls, centroids: Floats) -> Self:
        origin = origin_of(centroids)
        moved = centroids if origin is None else centroids - origin
        points = np.ascontiguousarray(moved, np.float32)
        halves = np.square(points, dtype=np.float64).sum(axis=1) / 2
        return cls(points, origin, halves, float(np.sqrt(2 * halves.max())))

    @property
    def relative(self) -> float:
        """Largest rounding error of the difference of two scores, relative to the norms."""
        return float(2.0**-23 * (self.points.shape[1] + 4))

    def margin(self, largest: Floats) -> np.float32:
        """Return the rounding error of differences, given the largest number of each feature."""
        norm = float(np.sqrt(np.square(largest, dtype=np.float64).sum()))
        scores = (norm + self.reach) * self.reach  # above all of them
        smallest = (self.points.shape[1] + 4) * 2.0**-147  # errors of products that underflow
        return np.float32(self.relative * scores + smallest if scores < _LARGE else np.inf)

    def moved(self, rows: Floats) -> Floats:
        """Return the rows minus the origin."""
        return rows if self.origin is None else rows - self.origin


@dataclass(frozen=True, slots=True, eq=False)
class Totals:
    """Sums over rows minus the origin."""

    sums: Floats64  # (n_clusters, n_features)
    counts: Counts  # (n_clusters,)
    lanes: Floats64  # (…, n_features) sums of squares

    @classmethod
    def zero(cls, centroids: PreparedCentroids, block_rows: int) -> Self:
        n_clusters, n_features = centroids.points.shape
        lanes = np.zeros((block_rows // _FOLDS, n_features))
        return cls(np.zeros((n_clusters, n_features)), np.zeros(n_clusters, np.int64), lanes)


class Block:
    """The arrays for a block of rows. They are allocated once, which saves a third of the time."""

    def __init__(self, centroids: PreparedCentroids, block_rows: int) -> None:
        n_clusters, n_features = centroids.points.shape
        self._centroids = centroids
        self._halves = centroids.halves.astype(np.float32)[:, None]
        self._numbers = np.arange(n_clusters, dtype=np.float32)
        self._rows, self._absolute = np.empty((2, block_rows, n_features), np.float32)
        self._wide, self._other = np.empty((2, block_rows, n_features))
        step = min(block_rows, max(64, _SCORES // n_clusters))
        self._products = np.empty((step, n_clusters), np.float32)
        self._scores, self._near = np.empty((2, n_clusters, step), np.float32)
        # BLAS computes four rows together: ten take longer than twelve.
        names = min(n_clusters, _FEW) + 3 & -4
        self._names = np.arange(names, dtype=np.int32)[:, None]
        self._belongs = np.empty((names, block_rows))

    def add(self, rows: Floats, totals: Totals) -> Clusters:
        """Add rows to the totals; return their clusters."""
        rows, n_rows = self._prepared(rows), len(rows)
        self._wide[:] = rows
        self._add_squares(totals.lanes)
        largest = self._largest(rows)
        clusters = self._clusters(rows[:n_rows], self._centroids.margin(largest))
        self._round(largest)
        counts = np.bincount(clusters, minlength=len(totals.counts))
        totals.counts[:] += counts
        totals.sums[:] += self._sums(clusters, counts)
        return clusters

    def _prepared(self, rows: Floats) -> Floats:
        """Return the rows minus the origin, and with zeros after the last row."""
        if self._centroids.origin is None and len(rows) == len(self._rows):
            return rows
        self._rows[: len(rows)] = self._centroids.moved(rows)
        self._rows[len(rows) :] = 0
        return self._rows

    def _add_squares(self, lanes: Floats64) -> None:
        squares = np.square(self._wide, out=self._other).reshape(_FOLDS, *lanes.shape)
        for each in squares[1:]:
            squares[0] += each
        lanes += squares[0]

    def _largest(self, rows: Floats) -> Floats:
        """Return the largest absolute number of each feature."""
        lanes = np.abs(rows, out=self._absolute).reshape(_FOLDS, -1).max(axis=0)
        largest: Floats = lanes.reshape(-1, rows.shape[1]).max(axis=0)
        return largest

    def _clusters(self, rows: Floats, margin: np.float32) -> Clusters:
        step = len(self._products)
        clusters = np.empty(len(rows), np.int32)
        for first in range(0, len(rows), step):
            some = rows[first : first + step]
            clusters[first : first + step] = self._nearest(some, margin)
        return clusters

    def _nearest(self, rows: Floats, margin: np.float32) -> Clusters:
        # BLAS is fast with few columns, and NumPy along many.
        products = np.matmul(rows, self._centroids.points.T, out=self._products[: len(rows)])
        scores = np.subtract(products.T, self._halves, out=self._scores[:, : len(rows)])
        lowest = np.maximum.reduce(scores, axis=0) - margin
        near = self._near[:, : len(rows)]
        near[:] = scores >= lowest
        candidates = np.ones_like(self._numbers) @ near
        found: Clusters = (self._numbers @ near).astype(np.int32)
        unsure = np.flatnonzero(candidates != 1) if np.isfinite(margin) else np.arange(len(rows))
        for some in _pieces(unsure, self._centroids.points.size):
            found[some] = self._exactly(rows[some], ~(scores[:, some] < lowest[some]))
        return found

    def _exactly(self, rows: Floats, near: npt.NDArray[np.bool_]) -> Clusters:
        """Return the nearest of several centroids, given which are near, (n_clusters, n_rows)."""
        row, centroid = near.T.nonzero()
        products = rows[row].astype(np.float64) * self._centroids.points[centroid]
        scores = np.full(near.T.shape, -np.inf)
        # Unlike a sum, accumulate is certain to add one number after the other.
        scores[row, centroid] = np.add.accumulate(products, axis=1)[:, -1]
        scores -= self._centroids.halves
        nearest: Clusters = scores.argmax(axis=1).astype(np.int32)
        return nearest

    def _round(self, largest: Floats) -> None:
        """Round to multiples of 2⁻³⁸ of a power of two above the largest number."""
        exponents = (largest.view(np.int32) >> 23) - 126 + 14
        offsets = np.tile(np.ldexp(1.5, exponents), len(self._wide) // _FOLDS)
        numbers = self._wide.reshape(_FOLDS, -1)
        numbers += offsets
        numbers -= offsets

    def _sums(self, clusters: Clusters, counts: Counts) -> Floats64:
        n_rows = len(clusters)
        if len(counts) <= _FEW:
            belongs = self._belongs[:, :n_rows]
            np.equal(self._names, clusters, out=belongs)
            few: Floats64 = (belongs @ self._wide[:n_rows])[: len(counts)]
            return few
        order, live = np.argsort(clusters, kind="stable"), counts > 0
        ordered = self._wide.take(order, axis=0, out=self._other[:n_rows], mode="clip")
        starts, sums = np.cumsum(counts) - counts, np.zeros((len(counts), ordered.shape[1]))
        sums[live] = np.add.reduceat(ordered, starts[live], axis=0)
        return sums


def _pieces(rows: npt.NDArray[np.intp], numbers: int) -> Iterator[npt.NDArray[np.intp]]:
    step = max(1, _PAIRS // numbers)
    return (rows[first : first + step] for first in range(0, len(rows), step))

"""Finds the nearest centroids of dense rows and sums the rows of each, in reproducible arithmetic.

The results have the same bits on every processor and with every BLAS library, with the native
kernel (stepml/ml/kernels/clusters.c) and without it:

- A centroid is the nearest if no other is within the rounding errors of float32. Otherwise float64
  decides: products of two float32 numbers are exact, and are added in the order of the features.
- Numbers are rounded to a multiple of 2⁻³⁸ of the largest in their block and feature, so that the
  sums of a block are exact in float64 in any order.
- Squares are exact in float64, and are added in a fixed order.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stepml.ml.kernels.native import Accumulate
from stepml.ml.matrices import Floats, Floats64
from stepml.ml.models.centroids import Accumulated
from stepml.ml.models.dense_blocks import (
    Block,
    Clusters,
    PreparedCentroids,
    Totals,
    rows_of_block,
)

_CANCELLED = 1e-4  # share of |x|²: smaller sums of squared distances have lost digits


def accumulate(centroids: Floats, X: Floats, kernel: Accumulate | None) -> Accumulated:
    """Assign each row to its nearest centroid, and sum the rows of each cluster.

    Parameters
    ----------
    centroids : array of shape (n_clusters, n_features)
    X : array of shape (n_samples, n_features)
    kernel : Accumulate or None
        None: NumPy computes the same.

    Raises
    ------
    ValueError
        A number is NaN or infinite.
    """
    prepared = PreparedCentroids.of(centroids)
    totals = _totals(prepared, X, None, kernel)
    counts, sums = totals.counts.astype(np.float64), totals.sums
    inertia = _inertia(prepared, X, totals, kernel)
    if prepared.origin is not None:
        sums = sums + counts[:, None] * prepared.origin
    return Accumulated(sums, counts, inertia)


def clusters_of(centroids: Floats, X: Floats, kernel: Accumulate | None) -> Clusters:
    """Return the index of each row's nearest centroid, (n_samples,); see `accumulate`."""
    clusters = np.empty(len(X), np.int32)
    _totals(PreparedCentroids.of(centroids), X, clusters, kernel)
    return clusters


def _totals(
    centroids: PreparedCentroids, X: Floats, clusters: Clusters | None, kernel: Accumulate | None
) -> Totals:
    """Return sums of the rows of each cluster; fill ``clusters`` (n_samples,) if it is given."""
    block_rows = rows_of_block(*X.shape)
    totals = Totals.zero(centroids, block_rows)
    if kernel is not None:
        rows = np.require(X, np.float32, ["C", "ALIGNED"])
        _add_natively(kernel, centroids, rows, block_rows, clusters, totals)
    else:
        _add_with_numpy(centroids, X, block_rows, clusters, totals)
    if not np.isfinite(totals.lanes).all():
        raise ValueError("k-means needs finite numbers, but some are NaN or infinite")
    return totals


def _add_natively(
    kernel: Accumulate,
    centroids: PreparedCentroids,
    X: Floats,
    block_rows: int,
    clusters: Clusters | None,
    totals: Totals,
) -> None:
    points = centroids.points
    done = kernel(
        *(_address(X), len(X), block_rows, _address(centroids.origin)),
        *(_address(points), _address(centroids.halves), *points.shape),
        *(centroids.reach, centroids.relative),
        *(_address(clusters), *map(_address, (totals.sums, totals.counts, totals.lanes))),
    )
    if not done:
        raise MemoryError(f"k-means needs memory for a block of {block_rows} rows")


def _address(array: npt.NDArray[np.generic] | None) -> int | None:
    return None if array is None else array.ctypes.data


def _add_with_numpy(
    centroids: PreparedCentroids,
    X: Floats,
    block_rows: int,
    clusters: Clusters | None,
    totals: Totals,
) -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        block = Block(centroids, block_rows)
        for start in range(0, len(X), block_rows):
            found = block.add(X[start : start + block_rows], totals)
            if clusters is not None:
                clusters[start : start + block_rows] = found


def _inertia(
    centroids: PreparedCentroids, X: Floats, totals: Totals, kernel: Accumulate | None
) -> float:
    """Return the sum of squared distances, from the differences if much of it cancels."""
    squares = float(totals.lanes.sum())
    halves: Floats64 = totals.counts * centroids.halves
    products = (centroids.points * totals.sums).sum(axis=1)
    inertia = squares + 2 * float((halves - products).sum())
    if inertia > _CANCELLED * squares:
        return inertia
    return _sum_of_distances(centroids, X, kernel)


def _sum_of_distances(centroids: PreparedCentroids, X: Floats, kernel: Accumulate | None) -> float:
    inertia, step = 0.0, rows_of_block(*X.shape)
    for start in range(0, len(X), step):
        rows, clusters = X[start : start + step], np.empty(len(X[start : start + step]), np.int32)
        _totals(centroids, rows, clusters, kernel)
        differences = centroids.moved(rows) - centroids.points[clusters]
        inertia += float(np.square(differences, dtype=np.float64).sum())
    return inertia

"""Sums of the rows of clusters, of rows with weights.

The clusters are those of rows without weights. Products of numbers and weights are exact in
float64, and are added in the order of the rows, so the results have the same bits everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from stepml.ml.matrices import CsrMatrix, Floats, Floats64, Matrix
from stepml.ml.models.centroids import Accumulated, Clusters
from stepml.ml.models.clusters import clusters_of
from stepml.ml.models.distances import squared_distances

_BLOCK_VALUES = 2**20  # of dense rows, widened at once


def accumulate_weighted(centroids: Floats, X: Matrix, weights: Floats) -> Accumulated:
    """Assign each row to its nearest centroid, and sum the rows of each cluster by weight.

    Parameters
    ----------
    centroids : array of shape (n_clusters, n_features)
    X : matrix of shape (n_samples, n_features)
    weights : array of shape (n_samples,)

    Raises
    ------
    ValueError
        A number of dense rows is NaN or infinite.
    """
    clusters = clusters_of(centroids, X).astype(np.intp)
    counts = np.bincount(clusters, weights, len(centroids)).astype(np.float64)
    if isinstance(X, CsrMatrix):
        sums = _sparse_sums(X, clusters, weights, len(centroids))
        squares = squared_distances(X, centroids, clusters)
    else:
        sums, squares = np.zeros(centroids.shape), np.empty(len(X))
        for rows in _blocks(X):
            _add_sums(X[rows], clusters[rows], weights[rows], sums)
            squares[rows] = _squares(X[rows], centroids[clusters[rows]])
    return Accumulated(sums, counts, float((squares * weights).sum()))


def _blocks(X: Floats) -> Iterator[slice]:
    step = max(1, _BLOCK_VALUES // X.shape[1])
    return (slice(first, first + step) for first in range(0, len(X), step))


def _add_sums(X: Floats, clusters: Clusters, weights: Floats, sums: Floats64) -> None:
    """Add the weighted rows of each cluster to ``sums``, (n_clusters, n_features)."""
    order = np.argsort(clusters, kind="stable")
    products = np.multiply(X[order], weights[order, None], dtype=np.float64)
    live, starts = np.unique(clusters[order], return_index=True)
    sums[live] += np.add.reduceat(products, starts, axis=0)


def _squares(X: Floats, centroids: Floats) -> Floats64:
    """Return the squared distance of each row from its own centroid."""
    differences = np.subtract(X, centroids, dtype=np.float64)
    squares: Floats64 = np.square(differences, out=differences).sum(axis=1)
    return squares


def _sparse_sums(X: CsrMatrix, clusters: Clusters, weights: Floats, n_clusters: int) -> Floats64:
    sums = np.zeros((n_clusters, X.n_features))
    for rows, block in X.blocks():
        places = np.repeat(clusters[rows] * X.n_features, block.counts)
        places += block.columns
        own = np.repeat(weights[rows], block.counts)
        products = np.multiply(block.values[block.pairs], own, dtype=np.float64)
        np.add.at(sums.reshape(-1), places, products)
    return sums

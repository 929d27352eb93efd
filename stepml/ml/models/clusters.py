"""Assigns rows to their nearest centroids, the first of equally near ones."""

from __future__ import annotations

from stepml.ml.kernels.native import accumulate_kernel
from stepml.ml.matrices import CsrMatrix, Floats, Matrix
from stepml.ml.models import dense_clusters
from stepml.ml.models.centroids import Accumulated, Clusters
from stepml.ml.models.sparse_clusters import Search


def accumulate(centroids: Floats, X: Matrix) -> Accumulated:
    """Assign each row to its nearest centroid, and sum the rows of each cluster.

    Parameters
    ----------
    centroids : array of shape (n_clusters, n_features)
    X : matrix of shape (n_samples, n_features)

    Raises
    ------
    ValueError
        A number of dense rows is NaN or infinite.
    """
    if isinstance(X, CsrMatrix):
        return Search.of(centroids).accumulate(X)
    return dense_clusters.accumulate(centroids, X, accumulate_kernel())


def clusters_of(centroids: Floats, X: Matrix) -> Clusters:
    """Return the index of each row's nearest centroid; see `accumulate`."""
    if isinstance(X, CsrMatrix):
        return Search.of(centroids).clusters(X)
    return dense_clusters.clusters_of(centroids, X, accumulate_kernel())

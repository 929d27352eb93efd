"""Sums of the rows of clusters, and the centroids that follow from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stepml.ml.models.base import Floats

Sums = npt.NDArray[np.float64]
Clusters = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Accumulated:
    """Sums over the rows of each cluster."""

    sums: Sums  # (n_clusters, n_features)
    counts: Sums  # (n_clusters,) rows, or the sums of their weights
    inertia: float  # sum over all rows of the squared distance from the nearest centroid


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

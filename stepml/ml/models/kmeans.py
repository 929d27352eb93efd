"""K-means: clusters by nearest centroid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from stepml.job import models as specs
from stepml.ml.matrices import CsrMatrix, row_norms_squared
from stepml.ml.models.base import (
    Array,
    DataFacts,
    Evaluation,
    Floats,
    Matrix,
    Model,
    WeightedSample,
)
from stepml.ml.models.centroids import Accumulated, Sums, next_centroids
from stepml.ml.models.clusters import accumulate, clusters_of
from stepml.ml.models.distances import Points, dense_row, squared_distances
from stepml.ml.models.row_weights import parts_of, total_weight
from stepml.ml.models.seeding import initial_centroids
from stepml.ml.models.weighted_clusters import accumulate_weighted


class KMeans(Model):
    """Minimises the sum of squared distances from the nearest centroid (Lloyd, 1982).

    Its parameters are the centroids, (n_clusters, n_features) row by row; labels play no part.

    Parameters
    ----------
    n_features, n_clusters : int
    restarts : int
        Seedings, of which the best one gives the first parameters.
    """

    def __init__(self, n_features: int, n_clusters: int, restarts: int = 1) -> None:
        self.n_features = n_features
        self.n_clusters = n_clusters
        self.restarts = restarts

    @classmethod
    def from_spec(cls, spec: specs.KMeans, facts: DataFacts) -> KMeans:
        return cls(facts.n_features, spec.n_clusters, spec.restarts)

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> KMeans:
        return cls(card["n_features"], card["n_clusters"])

    def first_parameters(self, sample: WeightedSample, seed: int) -> Floats:
        X, weights = sample()
        return initial_centroids(X, self.n_clusters, self.restarts, seed, weights=weights)

    def constant_parameters(self, facts: DataFacts) -> Floats | None:
        """Return one cluster, whose centroid is the mean of all rows, as often as needed."""
        return None if facts.mean_row is None else np.tile(facts.mean_row, self.n_clusters)

    @property
    def n_parameters(self) -> int:
        return self.n_clusters * self.n_features

    def targets(self, labels: Floats) -> Floats:
        return labels

    def accumulate(self, w: Floats, X: Matrix, weights: Floats | None = None) -> Accumulated:
        """Assign each row to its nearest centroid, and sum the rows of each cluster.

        Parameters
        ----------
        w : array of shape (n_parameters,)
        X : matrix of shape (n_samples, n_features)
        weights : array of shape (n_samples,), optional
            Of the rows: sums and counts are those of weighted rows.
        """
        if weights is None:
            return accumulate(self._centroids(w), X)
        return accumulate_weighted(self._centroids(w), X, weights)

    def distances(self, w: Floats, X: Matrix) -> Floats:
        """Return each row's distance from each centroid, of shape (n_samples, n_clusters)."""
        points = self._centroids(w)
        squares: Array
        if isinstance(X, CsrMatrix):
            everywhere = np.zeros(len(X), np.intp)
            squares = np.stack([squared_distances(X, each[None], everywhere) for each in points])
        else:
            squares = np.stack([row_norms_squared(X - each) for each in points])
        distances: Floats = np.sqrt(squares.T).astype(np.float32)
        return distances

    def next_parameters(self, w: Floats, sums: Sums, counts: Sums) -> Floats:
        """Return the means of the clusters; a cluster without rows keeps its centroid.

        Parameters
        ----------
        w : array of shape (n_parameters,)
        sums : array of shape (n_clusters, n_features), of all rows
        counts : array of shape (n_clusters,), of all rows
        """
        return next_centroids(self._centroids(w), sums, counts).ravel()

    def reseed(self, w: Floats, counts: Sums, sample: Matrix) -> Floats:
        """Return the parameters after moving the centroids of empty clusters to rows.

        They move one by one, each to the row of ``sample`` that is farthest from its nearest
        centroid. If all rows lie on centroids, the rest stay in place.

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
        inertia, total = self.accumulate(w, X, parts_of(y)[1]).inertia, total_weight(y)
        return Evaluation(inertia / total if total else 0.0, {"inertia": inertia})

    def predict(self, w: Floats, X: Matrix) -> Array:
        return clusters_of(self._centroids(w), X)

    def arrays(self, w: Floats) -> dict[str, Array]:
        return {"centroids": self._centroids(w)}

    def parameters(self, arrays: Mapping[str, Array]) -> Floats:
        return arrays["centroids"].astype(np.float32).ravel()

    def describe(self) -> dict[str, Any]:
        return {"n_clusters": self.n_clusters}

    def _centroids(self, w: Floats) -> Floats:
        return w.reshape(self.n_clusters, self.n_features)

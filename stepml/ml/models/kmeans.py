"""K-means: clusters by nearest centroid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stepml.ml.matrices import CsrMatrix, product, row_norms_squared, row_sums_by_group
from stepml.ml.models.base import Array, Evaluation, Floats, Matrix, Model

Sums = npt.NDArray[np.float64]
Clusters = npt.NDArray[np.intp]

_DISTANCES = 20_480  # computed at once: they stay in the cache
_SAMPLE_ITERATIONS = 10
_NOISE = 1e-6  # squared distances below this share of the squared norms are rounding errors


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
        sums = np.zeros((self.n_clusters, self.n_features))
        counts, inertia = np.zeros(self.n_clusters), 0.0
        for rows, clusters, squares in self._assigned(w, X):
            sums += row_sums_by_group(X[rows], clusters, self.n_clusters)
            counts += np.bincount(clusters, minlength=self.n_clusters)
            inertia += float(squares.sum(dtype=np.float64))
        return Accumulated(sums, counts, inertia)

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
        centroids = self._centroids(w).copy()
        live = centroids[counts > 0]
        distances = np.full(len(sample), np.inf, np.float32)
        norms = row_norms_squared(sample)
        for centroid in live:
            np.minimum(distances, _distances(sample, norms, centroid[None])[0], out=distances)
        for cluster in np.flatnonzero(counts == 0):
            farthest = int(distances.argmax())
            if not distances[farthest] > 0:
                break
            centroids[cluster] = _dense_row(sample, farthest)
            moved = centroids[cluster][None]
            np.minimum(distances, _distances(sample, norms, moved)[0], out=distances)
        return centroids.ravel()

    def evaluate(self, w: Floats, X: Matrix, y: Array) -> Evaluation:
        inertia = self.accumulate(w, X).inertia
        return Evaluation(inertia / len(X), {"inertia": inertia})

    def predict(self, w: Floats, X: Matrix) -> Array:
        found = [clusters for _, clusters, _ in self._assigned(w, X)]
        return np.concatenate(found) if found else np.zeros(0, np.intp)

    def arrays(self, w: Floats) -> dict[str, Array]:
        return {"centroids": self._centroids(w)}

    def parameters(self, arrays: Mapping[str, Array]) -> Floats:
        return arrays["centroids"].astype(np.float32).ravel()

    def describe(self) -> dict[str, Any]:
        return {"n_clusters": self.n_clusters}

    def _centroids(self, w: Floats) -> Floats:
        return w.reshape(self.n_clusters, self.n_features)

    def _assigned(self, w: Floats, X: Matrix) -> Iterator[tuple[slice, Clusters, Floats]]:
        """Yield, block by block, the rows, their clusters and their squared distances."""
        centroids = self._centroids(w)
        norms = np.square(centroids).sum(axis=1)
        doubled = -2 * centroids.T
        n_rows = max(1, _DISTANCES // self.n_clusters)
        for start in range(0, len(X), n_rows):
            rows = slice(start, start + n_rows)
            distances = product(X[rows], doubled)
            distances += norms
            clusters = distances.argmin(axis=1)
            squares = row_norms_squared(X[rows]) + distances.min(axis=1)
            yield rows, clusters, np.maximum(squares, 0)


def initial_centroids(X: Matrix, n_clusters: int, restarts: int, seed: int) -> Floats:
    """Return parameters to start from: the best of several k-means++ seedings on a sample.

    Each of them is improved by a few iterations on the sample before they are compared.

    Parameters
    ----------
    X : matrix of shape (n_samples, n_features), at least one row
        The sample; with fewer different rows than clusters, some centroids are the same.
    n_clusters : int
    restarts : int
        Seedings to choose from, at least 1.
    seed : int
        The same seed gives the same bits.

    Returns
    -------
    array of shape (n_clusters * n_features,)
    """
    model = KMeans(X.shape[1], n_clusters)
    seedings = (_seeding(model, X, np.random.default_rng((seed, each))) for each in range(restarts))
    return min(seedings, key=lambda seeding: seeding[1])[0]


def _seeding(model: KMeans, X: Matrix, rng: np.random.Generator) -> tuple[Floats, float]:
    """Return parameters and their inertia."""
    w = _plus_plus(X, model.n_clusters, rng).ravel()
    for _ in range(_SAMPLE_ITERATIONS):
        found = model.accumulate(w, X)
        w = model.next_parameters(w, found.sums, found.counts)
    return w, model.accumulate(w, X).inertia


def _plus_plus(X: Matrix, n_clusters: int, rng: np.random.Generator) -> Floats:
    """Return centroids by greedy k-means++ (Arthur and Vassilvitskii, 2007).

    Each is the best of a few rows drawn by their squared distance from the nearest one so far.
    """
    norms = row_norms_squared(X)
    trials = 2 + int(np.log(n_clusters))
    rows = [int(rng.integers(len(X)))]
    nearest = _distances(X, norms, _dense_row(X, rows[0])[None])[0]
    while len(rows) < n_clusters:
        drawn = _draw(nearest, trials, rng)
        candidates = np.stack([_dense_row(X, row) for row in drawn])
        distances = np.minimum(_distances(X, norms, candidates), nearest)
        best = int(distances.sum(axis=1, dtype=np.float64).argmin())
        rows.append(int(drawn[best]))
        nearest = distances[best]
    return np.stack([_dense_row(X, row) for row in rows])


def _draw(nearest: Floats, trials: int, rng: np.random.Generator) -> Clusters:
    """Return rows drawn by ``nearest``, or any where all rows are centroids already."""
    edges = np.cumsum(nearest, dtype=np.float64)
    if not edges[-1] > 0:
        return rng.integers(len(nearest), size=trials)
    drawn: Clusters = np.searchsorted(edges, rng.random(trials) * edges[-1], side="right")
    return drawn.clip(max=len(nearest) - 1)


def _distances(X: Matrix, norms: Floats, centroids: Floats) -> Floats:
    """Return squared distances, (n_centroids, n_samples); 0 where they are only rounding errors."""
    lengths = np.square(centroids).sum(axis=1)[:, None] + norms
    distances: Floats = product(X, centroids.T).T * np.float32(-2) + lengths
    distances[distances <= np.float32(_NOISE) * lengths] = 0
    return distances


def _dense_row(X: Matrix, row: int) -> Floats:
    if not isinstance(X, CsrMatrix):
        only: Floats = X[row]
        return only
    dense = np.zeros(X.n_features, np.float32)
    pairs = X[row : row + 1].pairs
    dense[X.indices[pairs]] = X.values[pairs]
    return dense

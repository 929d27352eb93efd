"""Where k-means begins: k-means++ on a sample, the best of some."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stepml.ml.models.base import Floats, Matrix
from stepml.ml.models.distances import Points, dense_row
from stepml.ml.models.kmeans import KMeans

_SAMPLE_ITERATIONS = 10


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
    sample, trials = Points.of(X), 2 + int(np.log(n_clusters))
    chosen = [int(rng.integers(len(X)))]
    nearest = sample.distances(dense_row(X, chosen[0])[None])[0]
    while len(chosen) < n_clusters:
        drawn = _draw(nearest, trials, rng)
        distances = sample.distances(np.stack([dense_row(X, row) for row in drawn]))
        np.minimum(distances, nearest, out=distances)
        best = int(distances.sum(axis=1).argmin())
        chosen.append(int(drawn[best]))
        nearest = distances[best]
    return np.stack([dense_row(X, row) for row in chosen])


def _draw(nearest: Floats, trials: int, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """Return rows drawn by ``nearest``, or any where all rows are centroids already."""
    edges = np.cumsum(nearest, dtype=np.float64)
    if not edges[-1] > 0:
        return rng.integers(len(nearest), size=trials)
    drawn: npt.NDArray[np.intp] = np.searchsorted(
        edges, rng.random(trials) * edges[-1], side="right"
    )
    return drawn.clip(max=len(nearest) - 1)

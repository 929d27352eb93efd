"""K-means, against brute force and scikit-learn."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn import cluster

from stepml.ml.matrices import CsrMatrix, Floats, Matrix
from stepml.ml.models import KMeans, initial_centroids, restore_model


def compressed(X: Floats) -> CsrMatrix:
    filled = X != 0
    indptr = np.append(0, np.cumsum(filled.sum(axis=1))).astype(np.int64)
    return CsrMatrix(indptr, np.nonzero(filled)[1].astype(np.int32), X[filled], X.shape[1])


each_matrix = pytest.mark.parametrize("matrix", [lambda X: X, compressed], ids=["dense", "sparse"])


def blobs(
    n_samples: int = 5000, n_features: int = 6, n_blobs: int = 7, spread: float = 1.0, seed: int = 0
) -> Floats:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(n_blobs, n_features)) * 3
    X = centres[rng.integers(n_blobs, size=n_samples)]
    X += rng.normal(size=X.shape) * spread
    X[rng.random(X.shape) < 0.3] = 0
    return X.astype(np.float32)


def squares(X: Floats, centroids: Any) -> Any:
    """Return squared distances, (n_samples, n_clusters), in float64."""
    wide = X.astype(np.float64)
    return np.stack([np.square(wide - c).sum(axis=1) for c in np.asarray(centroids, float)], axis=1)


@each_matrix
@pytest.mark.parametrize("n_clusters", [2, 3, 10, 40, 300])
@pytest.mark.parametrize("n_samples", [1, 7, 1000, 5003])
def test_rows_are_summed_by_their_nearest_centroid(
    n_samples: int, n_clusters: int, matrix: Callable[[Floats], Matrix]
) -> None:
    X = blobs(n_samples)
    centroids = blobs(n_clusters, seed=1)
    model = KMeans(6, n_clusters)
    found = model.accumulate(centroids.ravel(), matrix(X))
    distances = squares(X, centroids)
    clusters = distances.argmin(axis=1)
    assert model.predict(centroids.ravel(), matrix(X)).tolist() == clusters.tolist()
    assert found.counts.tolist() == np.bincount(clusters, minlength=n_clusters).tolist()
    for k in range(n_clusters):
        assert found.sums[k] == pytest.approx(X[clusters == k].sum(axis=0), rel=1e-5, abs=1e-4)
    assert found.inertia == pytest.approx(distances.min(axis=1).sum(), rel=1e-5)
    assert found.sums.dtype == found.counts.dtype == np.float64


@each_matrix
@pytest.mark.parametrize("n_clusters", [3, 40])
def test_the_first_of_equally_near_centroids_wins(
    n_clusters: int, matrix: Callable[[Floats], Matrix]
) -> None:
    centroids = np.full((n_clusters, 2), 9, np.float32)
    centroids[1:3] = [[1, 0], [-1, 0]]
    centroids = np.append(centroids, centroids, axis=0)  # each centroid twice
    X = np.array([[0, 0], [0, 5], [2, 0], [-2, 0]] * 500, np.float32)
    model = KMeans(2, len(centroids))
    assert model.predict(centroids.ravel(), matrix(X)).tolist() == [1, 1, 1, 2] * 500
    found = model.accumulate(centroids.ravel(), matrix(X))
    assert found.counts.tolist() == [0, 1500, 500] + [0] * (len(centroids) - 3)
    assert found.sums[1].tolist() == [1000, 2500]


@pytest.mark.parametrize("offset", [0, 10, 1000])
@pytest.mark.parametrize("spread", [1, 1e-2])
def test_inertia_keeps_its_digits(offset: float, spread: float) -> None:
    X = blobs(20_000, spread=spread) + np.float32(offset)
    fitted = cluster.KMeans(7, n_init=1, random_state=0).fit(X.astype(np.float64))
    centroids = fitted.cluster_centers_.astype(np.float32)
    found = KMeans(6, 7).accumulate(centroids.ravel(), X)
    assert found.inertia == pytest.approx(squares(X, centroids).min(axis=1).sum(), rel=1e-5)


def test_rows_on_their_centroids_have_no_inertia() -> None:
    X = np.repeat(blobs(5), 100, axis=0) + np.float32(50)
    found = KMeans(6, 5).accumulate(X[::100].ravel(), X)
    assert found.inertia == 0
    assert found.counts.tolist() == [100] * 5


@each_matrix
def test_iterations_are_those_of_scikit_learn(matrix: Callable[[Floats], Matrix]) -> None:
    X = blobs()
    start = X[:10].copy()
    theirs = cluster.KMeans(10, init=start, n_init=1, max_iter=5, tol=0, algorithm="lloyd").fit(X)
    model, w = KMeans(6, 10), start.ravel()
    for _ in range(5):
        found = model.accumulate(w, matrix(X))
        w = model.next_parameters(w, found.sums, found.counts)
    assert w.reshape(10, 6) == pytest.approx(theirs.cluster_centers_, abs=1e-4)
    assert model.accumulate(w, matrix(X)).inertia == pytest.approx(theirs.inertia_, rel=1e-4)


@each_matrix
def test_evaluation_is_the_mean_squared_distance(matrix: Callable[[Floats], Matrix]) -> None:
    X, centroids = blobs(), blobs(4, seed=5)
    found = KMeans(6, 4).evaluate(centroids.ravel(), matrix(X), np.zeros(len(X), np.float32))
    total = squares(X, centroids).min(axis=1).sum()
    assert found.loss == pytest.approx(total / len(X), rel=1e-5)
    assert found.metrics == {"inertia": pytest.approx(total, rel=1e-5)}


@each_matrix
def test_seeding_is_about_as_good_as_that_of_scikit_learn(
    matrix: Callable[[Floats], Matrix],
) -> None:
    X = blobs(n_blobs=20)
    w = initial_centroids(matrix(X), 20, restarts=5, seed=0)
    theirs = cluster.KMeans(20, n_init=5, max_iter=10, random_state=0).fit(X)
    assert KMeans(6, 20).accumulate(w, X).inertia <= 1.1 * theirs.inertia_


def test_more_restarts_are_never_worse() -> None:
    X = blobs(500, n_blobs=30)
    inertias = [
        KMeans(6, 12).accumulate(initial_centroids(X, 12, restarts, seed=1), X).inertia
        for restarts in (1, 2, 4, 8)
    ]
    assert inertias == sorted(inertias, reverse=True)


@each_matrix
def test_the_same_seed_gives_the_same_bits(matrix: Callable[[Floats], Matrix]) -> None:
    X = matrix(blobs(500))
    once, again, other = (initial_centroids(X, 5, 2, seed).tobytes() for seed in (7, 7, 8))
    assert once == again
    assert once != other


@each_matrix
@pytest.mark.parametrize(("n_rows", "n_different"), [(1, 1), (6, 1), (6, 3), (100, 3), (3, 3)])
def test_fewer_different_rows_than_clusters_are_repeated(
    n_rows: int, n_different: int, matrix: Callable[[Floats], Matrix]
) -> None:
    different = blobs(n_different) + np.float32(100)
    X = different[np.arange(n_rows) % n_different]
    w = initial_centroids(matrix(X), 5, restarts=2, seed=0)
    nearest = squares(w.reshape(5, 6), different)
    assert nearest.min(axis=0) == pytest.approx(np.zeros(n_different), abs=1e-6)
    assert nearest.min(axis=1) == pytest.approx(np.zeros(5), abs=1e-6)


@each_matrix
def test_empty_clusters_move_to_the_farthest_rows(matrix: Callable[[Floats], Matrix]) -> None:
    X = np.array([[0, 0], [1, 0], [0, 10], [0, 11], [50, 0]], np.float32)
    centroids = np.array([[0, 0], [100, 100], [50, 1], [-100, 0]], np.float32)
    counts = np.array([4.0, 0, 1, 0])
    given = centroids.copy()
    moved = KMeans(2, 4).reseed(given.ravel(), counts, matrix(X)).reshape(4, 2)
    assert moved.tolist() == [[0, 0], [0, 11], [50, 1], [1, 0]]  # (0, 10) and (50, 0): as near
    assert given.tobytes() == centroids.tobytes()


@each_matrix
def test_where_all_rows_lie_on_centroids_empty_clusters_stay(
    matrix: Callable[[Floats], Matrix],
) -> None:
    X = np.array([[1, 2], [3, 4], [1, 2]], np.float32)
    centroids = np.array([[1, 2], [7, 7], [8, 8]], np.float32)
    moved = KMeans(2, 3).reseed(centroids.ravel(), np.array([3.0, 0, 0]), matrix(X))
    assert moved.reshape(3, 2).tolist() == [[1, 2], [3, 4], [8, 8]]


def test_a_cluster_without_rows_keeps_its_centroid() -> None:
    model, w = KMeans(1, 2), np.array([1, 7], np.float32)
    found = model.next_parameters(w, np.array([[6.0], [0.0]]), np.array([3.0, 0.0]))
    assert found.tolist() == [2, 7]
    assert found.dtype == np.float32


def test_a_model_is_restored_from_its_artifact() -> None:
    X, model = blobs(), KMeans(6, 4)
    w = blobs(4, seed=5).ravel()
    card = json.loads(json.dumps({"model": "kmeans", "n_features": 6, **model.describe()}))
    restored = restore_model(card)
    again = restored.parameters({name: a.copy() for name, a in model.arrays(w).items()})
    assert again.tobytes() == w.tobytes()
    assert restored.predict(again, X).tolist() == model.predict(w, X).tolist()
    assert restored.predict(again, X[:0]).shape == (0,)
